// The user's own wallet at a page: three runs wait for three wallets, one that knows no batches, one that sends a batch as
// one transaction each, and one that would fold a batch into one. Arguments: server, chain's URL, key of the account.
import { createWalletClient, createPublicClient, http } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { connect } from '../sdk/dist/index.js'
import { pay, payments } from '../sdk/dist/pay.js'
import WebSocket from 'ws'

const [server, chainURL, key] = process.argv.slice(2)
const account = privateKeyToAccount(key)
const chain = { id: 1337, name: 'dev', nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 }, rpcUrls: { default: { http: [chainURL] } } }
const sender = createWalletClient({ account, chain, transport: http(chainURL) })
const reader = createPublicClient({ chain, transport: http(chainURL), pollingInterval: 50 })

// A wallet says what it can do by EIP-5792: nothing, or whether it folds batches.
const walletOf = (atomic) => {
  const asked = [], batches = new Map()
  const send = async ({ to, data, value }) => sender.sendTransaction({ to, data, value: BigInt(value) })
  const methods = {
    eth_requestAccounts: async () => [account.address],
    eth_chainId: async () => '0x539',
    personal_sign: async ([message]) => account.signMessage({ message: { raw: message } }),
    eth_sendTransaction: async ([tx]) => send(tx),
    wallet_getCapabilities: async () => ({ '0x539': { atomic: { status: atomic } } }),
    wallet_sendCalls: async ([batch]) => {
      const hashes = []
      for (const c of batch.calls) hashes.push(await send(c))
      batches.set('0xba7c', hashes)
      return { id: '0xba7c' }
    },
    wallet_getCallsStatus: async ([id]) => {
      const receipts = await Promise.all(batches.get(id).map((hash) => reader.getTransactionReceipt({ hash }).catch(() => undefined)))
      return receipts.every(Boolean) ? { status: 200, receipts: receipts.map((r) => ({ transactionHash: r.transactionHash })) } : { status: 100 }
    },
  }
  return { asked, request: async ({ method, params = [] }) => {
    asked.push(method)
    if (!methods[method] || (!atomic && method.startsWith('wallet_'))) throw Object.assign(new Error(`no ${method}`), { code: 4200 })
    return methods[method](params)
  } }
}

const client = await connect(server, { WebSocket })
const session = await client.signIn(walletOf(), { agent: 'payer', chain: 1337 })
const got = {}
for (const [name, atomic, sums] of [['plain', undefined, [1]], ['batch', 'unsupported', [2, 3]], ['folds', 'supported', [4]]]) {
  const wallet = walletOf(atomic)
  const runs = sums.map((n) => session.run(`pay bob ${n} USDC`))
  const outcomes = Promise.all(runs.map(async (r) => (await r).text)) // awaited before it waits, or nobody follows
  let calls = []
  for (let n = 0; calls.length < sums.length && n < 600; n++) {
    await new Promise((ok) => setTimeout(ok, 100))
    calls = await payments(session)
  }
  const sent = await pay(session, wallet, calls)
  for (const s of sent) if (s.refused) throw s.refused // the server takes each hash
  got[name] = { sent: sent.length, said: (await outcomes).map((t) => t.replace(/ in block.*/s, '')), asked: wallet.asked.filter((m) => /send/.test(m)) }
}
const stranger = { request: async () => ['0x00000000000000000000000000000000000b0b00'] }
got.stranger = await pay(session, stranger, [{ chain: 1337, from: account.address }]).catch((e) => e.code)
client.close()
console.log(JSON.stringify(got))
