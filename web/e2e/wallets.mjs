// Contract wallets sign in at a running server whose chain is an anvil: each asks something, approves a payment, and
// changes its owner, after which its permission moves nothing more. Their signatures are made by viem, most of the wallets
// by others (web/anvil). Arguments: the server's URL, the chain's URL, and a folder for the records of the runs that paid.
// Prints what came of it, one JSON object a wallet and line.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import {
  concat, createPublicClient, createTestClient, createWalletClient, defineChain, encodeAbiParameters, encodeFunctionData, getAddress, getContractAddress,
  hashMessage, hashTypedData, http, keccak256, pad, serializeErc6492Signature, size, toBytes, toHex, zeroAddress,
} from 'viem'
import { generatePrivateKey, mnemonicToAccount, privateKeyToAccount } from 'viem/accounts'
import { signMessage, signTypedData } from 'viem/experimental/erc7739'
import { Bound, Factory, Reverts, safe130, safe141, usdc, Wallet } from '../anvil/artifacts.mjs'
import { code, newKey, Session } from './session.mjs'

const [server, rpc, folder] = process.argv.slice(2)
const chain = defineChain({ id: 1337, name: 'anvil', nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 }, rpcUrls: { default: { http: [rpc] } } })
const transport = http(rpc)
const reader = createPublicClient({ chain, transport, pollingInterval: 20 })
const master = createTestClient({ chain, transport, mode: 'anvil' })
const payer = mnemonicToAccount('test test test test test test test test test test test junk') // of every anvil
const wallet = createWalletClient({ chain, transport, account: payer })
const dev = (name) => privateKeyToAccount(keccak256(toBytes(`writ dev chain: ${name}`)))

const mined = async (hash) => {
  const r = await reader.waitForTransactionReceipt({ hash })
  assert.equal(r.status, 'success')
  return r
}
const deploy = async ({ abi, bytecode }, ...args) => (await mined(await wallet.deployContract({ abi, bytecode, args }))).contractAddress
const send = async (address, { abi }, functionName, args, account = payer) =>
  mined(await wallet.writeContract({ address, abi, functionName, args, account }))
const read = (address, { abi }, functionName, args = []) => reader.readContract({ address, abi, functionName, args })
const owner = async () => {
  const account = privateKeyToAccount(generatePrivateKey())
  await master.setBalance({ address: account.address, value: 10n ** 18n })
  return account
}

// The dev chain's token, at the address that it has there.
const deployer = dev('deployer')
for (const a of [deployer, dev('agent')]) await master.setBalance({ address: a.address, value: 10n ** 20n })
const token = getContractAddress({ from: deployer.address, nonce: 0n })
await mined(await wallet.deployContract({ ...usdc, account: deployer }))
await send(token, usdc, 'mint', [dev('agent').address, 1_000_000_000n], deployer)
const bobs = () => read(token, usdc, 'balanceOf', [dev('bob').address])

// A wallet of one owner, whose signature is the owner's.
const one = async (contract) => {
  const of = await owner()
  const address = await deploy(contract, of.address)
  return {
    address,
    sign: (message) => of.signMessage({ message }),
    typed: (t) => of.signTypedData(t),
    change: () => send(address, contract, 'setOwner', [payer.address], of),
  }
}

// A wallet that is there only once somebody calls its factory; meanwhile somebody does.
const later = async () => {
  const of = await owner()
  const factory = await deploy(Factory)
  const args = [of.address, pad('0x1')]
  const data = encodeFunctionData({ abi: Factory.abi, functionName: 'deploy', args })
  const address = await read(factory, Factory, 'addressOf', args)
  const wrap = async (signature) => serializeErc6492Signature({ address: factory, data, signature: await signature })
  return {
    address,
    sign: (message) => wrap(of.signMessage({ message })),
    typed: (t) => wrap(of.signTypedData(t)),
    between: async () => {
      assert.equal(await reader.getCode({ address }), undefined, 'asking has deployed the wallet')
      await mined(await wallet.sendTransaction({ to: factory, data }))
    },
    change: () => send(address, Wallet, 'setOwner', [payer.address], of),
  }
}

// A Safe of three owners, of whom two must sign.
const makers = new Map() // what is deployed once for all Safes of a version
const safe = async (made, { there = true, leaves = 1 } = {}) => {
  if (!makers.has(made)) {
    makers.set(made, { core: await deploy(made.core), factory: await deploy(made.factory), handler: await deploy(made.handler), signer: await deploy(made.signer) })
  }
  const { core, factory, handler, signer } = makers.get(made)
  const owners = await Promise.all([owner(), owner(), owner()])
  const setup = encodeFunctionData({
    abi: made.core.abi, functionName: 'setup',
    args: [owners.map((o) => o.address), 2n, zeroAddress, '0x', handler, zeroAddress, 0n, zeroAddress],
  })
  const args = [core, setup, BigInt(keccak256(setup))]
  const { result: address } = await reader.simulateContract({ address: factory, abi: made.factory.abi, functionName: 'createProxyWithNonce', args })
  const create = () => send(factory, made.factory, 'createProxyWithNonce', args)
  if (there) await create()
  const domain = { chainId: 1337, verifyingContract: address }
  // Two owners, in the order of their addresses.
  const together = async (t) => {
    const two = owners.slice(0, 2).sort((a, b) => (BigInt(a.address) < BigInt(b.address) ? -1 : 1))
    return concat(await Promise.all(two.map((o) => o.signTypedData({ domain, ...t }))))
  }
  const over = (hash) => together({ types: { SafeMessage: [{ name: 'message', type: 'bytes' }] }, primaryType: 'SafeMessage', message: { message: hash } })
  const exec = async (to, data, operation) => {
    const tx = { to, value: 0n, data, operation, safeTxGas: 0n, baseGas: 0n, gasPrice: 0n, gasToken: zeroAddress, refundReceiver: zeroAddress }
    const signatures = await together({
      types: {
        SafeTx: [
          { name: 'to', type: 'address' }, { name: 'value', type: 'uint256' }, { name: 'data', type: 'bytes' }, { name: 'operation', type: 'uint8' },
          { name: 'safeTxGas', type: 'uint256' }, { name: 'baseGas', type: 'uint256' }, { name: 'gasPrice', type: 'uint256' },
          { name: 'gasToken', type: 'address' }, { name: 'refundReceiver', type: 'address' }, { name: 'nonce', type: 'uint256' },
        ],
      },
      primaryType: 'SafeTx', message: { ...tx, nonce: await read(address, made.core, 'nonce') },
    })
    await send(address, made.core, 'execTransaction', [...Object.values(tx), signatures])
  }
  const wrap = there ? (s) => s : async (s) => serializeErc6492Signature({
    address: factory, data: encodeFunctionData({ abi: made.factory.abi, functionName: 'createProxyWithNonce', args }), signature: await s,
  })
  return {
    address,
    version: there ? await read(address, made.core, 'VERSION') : undefined,
    sign: (message) => wrap(over(hashMessage(message))),
    typed: (t) => wrap(over(hashTypedData(t))),
    // The owners say so on the chain, and the signature is empty.
    onChain: async (hash) => {
      await exec(signer, encodeFunctionData({ abi: made.signer.abi, functionName: 'signMessage', args: [encodeAbiParameters([{ type: 'bytes32' }], [hash])] }), 1)
      return '0x'
    },
    between: there ? undefined : create,
    change: () => exec(address, encodeFunctionData({ abi: made.core.abi, functionName: 'swapOwner', args: [owners[leaves - 1].address, owners[leaves].address, payer.address] }), 0),
  }
}
// The same, whose owners approve on the chain. The owner who leaves is not one of the two: what they have approved stays
// approved, and still the permission is over.
const approving = async (made) => {
  const s = await safe(made, { leaves: 2 })
  return { ...s, sign: (message) => s.onChain(hashMessage(message)), typed: (t) => s.onChain(hashTypedData(t)), again: 'accepted' }
}

// An account with another's code (EIP-7702).
const delegate = async (of, contractAddress) => {
  const authorization = await wallet.signAuthorization({ account: of, contractAddress })
  await mined(await wallet.sendTransaction({ to: payer.address, gas: 200_000n, authorizationList: [authorization] }))
}
const withItsKey = async () => {
  const of = await owner()
  await delegate(of, await deploy(Reverts))
  return { address: of.address, sign: (message) => of.signMessage({ message }), typed: (t) => of.signTypedData(t) }
}
const withItsDelegate = async () => {
  const [of, other] = [await owner(), await owner()]
  await delegate(of, await deploy(Wallet, zeroAddress))
  await master.setStorageAt({ address: of.address, index: 0, value: pad(other.address) }) // whom its code takes for the owner
  return {
    address: of.address, sign: (message) => other.signMessage({ message }), typed: (t) => other.signTypedData(t),
    change: async () => delegate(of, await deploy(Reverts)),
  }
}

// A wallet whose owner signs for it and no other of the owner's wallets (ERC-7739).
const bound = async () => {
  const of = await owner()
  const address = await deploy(Bound, of.address)
  return {
    address,
    sign: (message) => signMessage(wallet, { account: of, message, verifier: address }),
    typed: (t) => signTypedData(wallet, { account: of, ...t, verifier: address }),
    naive: (message) => of.signMessage({ message }),
    change: () => send(address, Bound, 'setOwner', [payer.address], of),
  }
}

const wallets = {
  'of one owner': () => one(Wallet),
  'not deployed yet': later,
  'Safe 1.4.1, two of three': () => safe(safe141),
  'Safe 1.3.0, two of three': () => safe(safe130),
  'Safe 1.4.1, approved on the chain': () => approving(safe141),
  'Safe 1.3.0, approved on the chain': () => approving(safe130),
  'Safe 1.4.1, not deployed yet': () => safe(safe141, { there: false }),
  'bound to itself (ERC-7739)': bound,
  'delegated, with its own key': withItsKey,
  'delegated, as its delegate says': withItsDelegate,
}

const stranger = privateKeyToAccount(generatePrivateKey())

for (const [name, make] of Object.entries(wallets)) {
  const w = await make()
  w.address = getAddress(w.address)
  const key = await newKey()
  const s = await Session.connect(server)
  const signIn = (sign) => s.signIn({ account: w.address, chain: chain.id, agent: 'treasurer', key, sign })
  const out = { wallet: name, account: w.address, version: w.version }

  // Somebody else's signature, and the owner's that is not for this wallet.
  out.stranger = await code(signIn((message) => stranger.signMessage({ message })))
  if (w.naive) out.naive = await code(signIn(w.naive))
  const opened = await signIn(w.sign)
  assert.equal(opened.account, w.address)
  await w.between?.()

  out.asked = await s.run('treasurer', "what is bob's USDC balance?", assert.fail)
  const before = await bobs()
  out.paid = await s.run('treasurer', 'send 5 USDC to bob', async (a) => {
    const t = structuredClone(a.typed_data)
    delete t.types.EIP712Domain // which viem makes of the domain
    const more = structuredClone(t)
    more.message.maxAmount = String(BigInt(more.message.maxAmount) + 1n)
    out.more = await code(s.decide(a, await w.typed(more)))
    await s.decide(a, await w.typed(t))
  })
  out.moved = String((await bobs()) - before)

  const { car, keys } = await s.call('provenance.get', { run: out.paid.run, keys: true })
  const file = `${folder}/${w.address}`
  writeFileSync(`${file}.car`, Buffer.from(await (await fetch(new URL(car, server))).arrayBuffer()))
  const sorted = Object.fromEntries(Object.entries(keys).sort(([a], [b]) => (a < b ? -1 : 1)))
  writeFileSync(`${file}.keys`, JSON.stringify({ schema: 'writ/keys/1', keys: sorted }) + '\n')

  // Another session of the wallet is ended by its signature, over a socket where nobody has signed in.
  const lost = await Session.connect(server)
  const lostKey = await newKey()
  const { session } = await lost.signIn({ account: w.address, chain: chain.id, agent: 'treasurer', key: lostKey, sign: w.sign })
  const text = `End session ${session} and all that it has delegated.\nReason: key lost\nIssued At: ${new Date().toISOString().slice(0, 19)}Z`
  const anybody = await Session.connect(server)
  out.foreign = await code(anybody.call('session.revoke', { session, message: text, signature: await stranger.signMessage({ message: text }) }))
  out.revoked = await code(anybody.call('session.revoke', { session, message: text, signature: await w.sign(text) }))
  out.ended = await code(anybody.resume(session, lostKey))
  anybody.close()
  lost.close()

  if (w.change) {
    await w.change()
    out.after = await s.run('treasurer', 'send 7 USDC to bob', assert.fail).catch((e) => ({ reason: e.message }))
    out.movedAfter = String((await bobs()) - before)
    // The session is ended in its own time, a moment after its run; it moves nothing meanwhile.
    for (let tries = 0; tries < 100; tries++) {
      const same = await Session.connect(server)
      out.resumed = await code(same.resume(opened.session, key))
      same.close()
      if (out.resumed !== 'accepted') break
      await new Promise((ok) => setTimeout(ok, 20))
    }
    const other = await Session.connect(server)
    out.again = await code(other.signIn({ account: w.address, chain: chain.id, agent: 'treasurer', key: await newKey(), sign: w.sign }))
    out.wants = w.again ?? 'sign_in_refused sig.contract'
    other.close()
  }
  s.close()
  console.log(JSON.stringify(out))
}
