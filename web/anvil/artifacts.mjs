// Contract wallets as others have built them: the two Safes that most Safes are, as their makers compiled them, and
// Solady's ERC-7739 in Bound.sol, compiled here. Besides them, what this repository has compiled for its own tests.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
const here = (path) => new URL(path, import.meta.url)
const read = (path) => JSON.parse(readFileSync(here(path), 'utf8'))

const safe = (module, core, factory, signer) => {
  const artifact = (path) => {
    const { abi, bytecode } = require(`${module}/build/artifacts/contracts/${path}.json`)
    return { abi, bytecode }
  }
  return {
    core: artifact(`${core}.sol/${core}`), factory: artifact(`proxies/${factory}.sol/${factory}`), signer: artifact(`${signer}/SignMessageLib`),
    handler: artifact('handler/CompatibilityFallbackHandler.sol/CompatibilityFallbackHandler'),
  }
}

const compiled = () => {
  const solc = require('solc')
  const input = {
    language: 'Solidity',
    sources: { 'Bound.sol': { content: readFileSync(here('Bound.sol'), 'utf8') } },
    settings: { optimizer: { enabled: true }, outputSelection: { 'Bound.sol': { Bound: ['abi', 'evm.bytecode.object'] } } },
  }
  const imports = (path) => ({ contents: readFileSync(require.resolve(path), 'utf8') })
  const out = JSON.parse(solc.compile(JSON.stringify(input), { import: imports }))
  const errors = (out.errors ?? []).filter((e) => e.severity === 'error')
  if (errors.length) throw new Error(errors.map((e) => e.formattedMessage).join('\n'))
  const { abi, evm } = out.contracts['Bound.sol'].Bound
  return { abi, bytecode: '0x' + evm.bytecode.object }
}

export const usdc = read('../../internal/eth/devchain/contracts/USDC.json')
export const { Wallet, Factory, Reverts } = read('../../internal/eth/devchain/contracts/wallets.json').contracts
export const safe141 = safe('@safe-global/safe-contracts', 'Safe', 'SafeProxyFactory', 'libraries/SignMessageLib.sol')
export const safe130 = safe('@gnosis.pm/safe-contracts', 'GnosisSafe', 'GnosisSafeProxyFactory', 'examples/libraries/SignMessage.sol')
export const Bound = compiled()
