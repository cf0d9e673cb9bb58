// A page lets the agent pay from the user's account: by typed data, by a wallet that grants permissions (ERC-7715), and until
// it is revoked on the chain. Arguments: server, chain's URL, key of the account.
import { createWalletClient, encodeAbiParameters, http } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { connect } from '../sdk/dist/index.js'
import { askMandate, giveMandate, mandates, revokeMandate } from '../sdk/dist/mandate.js'
import WebSocket from 'ws'

const [server, chainURL, key] = process.argv.slice(2)
const account = privateKeyToAccount(key)
const chain = { id: 1337, name: 'dev', nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 }, rpcUrls: { default: { http: [chainURL] } } }
const sender = createWalletClient({ account, chain, transport: http(chainURL) })
const delegations = [{ type: 'tuple[]', components: [
  { name: 'delegate', type: 'address' }, { name: 'delegator', type: 'address' }, { name: 'authority', type: 'bytes32' },
  { name: 'caveats', type: 'tuple[]', components: [{ name: 'enforcer', type: 'address' }, { name: 'terms', type: 'bytes' }, { name: 'args', type: 'bytes' }] },
  { name: 'salt', type: 'uint256' }, { name: 'signature', type: 'bytes' },
] }]

// A wallet that knows no permissions, one that has other kinds only, and one that grants what it was asked: the delegation in
// it is what `granted` says, signed.
const walletOf = (supported, granted) => {
  const asked = []
  const signTyped = (text) => { const { types: { EIP712Domain: _, ...types }, ...rest } = JSON.parse(text); return account.signTypedData({ types, ...rest }) }
  const methods = {
    eth_requestAccounts: async () => [account.address],
    personal_sign: async ([message]) => account.signMessage({ message: { raw: message } }),
    eth_signTypedData_v4: async ([, text]) => signTyped(text),
    eth_sendTransaction: async ([{ to, data }]) => sender.sendTransaction({ to, data, value: 0n }),
    wallet_getSupportedExecutionPermissions: supported && (async () => supported),
    wallet_requestExecutionPermissions: granted && (async ([permission]) => {
      const { mandate, typed_data } = await granted(permission)
      const signature = await signTyped(JSON.stringify(typed_data))
      return [{ ...permission, context: encodeAbiParameters(delegations, [[{ ...mandate, salt: BigInt(mandate.salt), signature }]]) }]
    }),
  }
  return { asked, request: async ({ method, params = [] }) => {
    asked.push(method)
    if (!methods[method]) throw Object.assign(new Error(`no ${method}`), { code: 4200 })
    return methods[method](params)
  } }
}

const client = await connect(server, { WebSocket })
const signIn = () => client.signIn(walletOf(), { agent: 'clerk', chain: 1337 })
const got = {}
const other = { 'native-token-stream': { chainIds: [1337], ruleTypes: ['expiry'] } }
const rulesLack = { 'erc20-token-allowance': { chainIds: ['0x539'], ruleTypes: [] } }
const kinds = { 'erc20-token-allowance': { chainIds: ['0x539'], ruleTypes: ['expiry', 'payee'] } }
for (const [name, supported] of [['typed', undefined], ['other', other], ['rules', rulesLack], ['granted', kinds]]) {
  const session = await signIn()
  const refused = await session.run('pay bob 1 USDC')
  const asked = await askMandate(session)
  const wallet = walletOf(supported, async (permission) => {
    if (permission.to.toLowerCase() !== asked.mandate.delegate.toLowerCase()) throw new Error(`for ${permission.to}, not ${asked.mandate.delegate}`)
    return askMandate(session)
  })
  const given = await giveMandate(session, wallet, asked)
  const { text } = await session.run('pay bob 1 USDC')
  got[name] = { smart: asked.smart, without: refused.text, text, given: given.text, state: given.state, asked: wallet.asked }
  if (name === 'granted') {
    let at = '0x1', choices = []
    const elsewhere = { request: async ({ method, params }) => { // at another chain
      choices.push(method)
      if (method === 'eth_chainId') return at
      if (method === 'wallet_switchEthereumChain') return void (at = params[0].chainId)
      if (method === 'eth_sendTransaction' && at !== '0x539') throw new Error(`sent on ${at}`)
      return wallet.request({ method, params })
    } }
    const without = { request: async () => ['0x00000000000000000000000000000000000b0b00'] }
    got.without = await revokeMandate(without, given).catch((e) => e.code)
    await revokeMandate(elsewhere, given)
    got.choices = choices
    let state
    for (let n = 0; state !== 'revoked' && n < 100; n++) {
      await new Promise((ok) => setTimeout(ok, 100))
      state = (await mandates(session))[0].state
    }
    got.revoked = { state, text: (await session.run('pay bob 1 USDC')).text }
  }
}
const session = await signIn()
const no = { request: async ({ method }) => { throw Object.assign(new Error('no'), { code: method.startsWith('wallet_') ? 4200 : 4001 }) } }
got.refused = await giveMandate(session, no, await askMandate(session)).catch((e) => e.code)
got.left = (await mandates(session)).length
client.close()
console.log(JSON.stringify(got))
