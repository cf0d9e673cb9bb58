// The user's own wallet at a page. Payments wait for a wallet that knows no batches, one that sends a batch as one transaction
// each, one that would fold a batch into one, and one that does so though it says that it does not. Deposits, which are two calls
// in one transaction of the account, a smart one, to itself, wait for a wallet that makes it of the calls, one that knows no
// batches, one that is asked again for its batch, and one whose batch fails. Arguments: server, chain's URL, key of the account, a
// folder for the record of a deposit.
import { writeFileSync } from 'node:fs'
import { createWalletClient, createPublicClient, http, keccak256 } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { encodeExecuteData } from 'viem/experimental/erc7821'
import { connect } from '../sdk/dist/index.js'
import { pay, payments, settle } from '../sdk/dist/pay.js'
import WebSocket from 'ws'

const [server, chainURL, key, folder] = process.argv.slice(2)
const account = privateKeyToAccount(key)
const chain = { id: 1337, name: 'dev', nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 }, rpcUrls: { default: { http: [chainURL] } } }
const sender = createWalletClient({ account, chain, transport: http(chainURL) })
const reader = createPublicClient({ chain, transport: http(chainURL), pollingInterval: 50 })

// A wallet says what it can do by EIP-5792: nothing, or whether it folds batches.
const walletOf = (atomic, { folds, fails, silent } = {}) => {
  const asked = [], batches = new Map()
  const send = async ({ to, data, value }) => {
    for (;;) {
      try {
        return await sender.sendTransaction({ to, data, value: BigInt(value) })
      } catch (e) { // a node takes one transaction of a smart account at a time, and its last block may be too new for it
        if (!/in-flight transaction limit/.test(String(e.details ?? e.message))) throw e
        await new Promise((ok) => setTimeout(ok, 20))
      }
    }
  }
  const methods = {
    eth_requestAccounts: async () => [account.address],
    eth_chainId: async () => '0x539',
    personal_sign: async ([message]) => account.signMessage({ message: { raw: message } }),
    eth_sendTransaction: async ([tx]) => send(tx),
    wallet_getCapabilities: async () => ({ '0x539': { atomic: { status: atomic } } }),
    wallet_sendCalls: async ([batch]) => {
      const hashes = []
      if (fails) return { id: '0xfa11' }
      if (folds ?? batch.atomicRequired) hashes.push(await send({ to: account.address, value: 0, data: encodeExecuteData({ calls: batch.calls.map((c) => ({ ...c, value: BigInt(c.value) })) }) }))
      else for (const c of batch.calls) {
        hashes.push(await send(c))
        await reader.waitForTransactionReceipt({ hash: hashes.at(-1) })
      }
      batches.set('0xba7c', hashes)
      return { id: '0xba7c' }
    },
    wallet_getCallsStatus: async ([id]) => {
      if (fails) return { status: 400 }
      if (silent) throw Object.assign(new Error('gone'), { code: -32000 })
      const receipts = await Promise.all(batches.get(id).map((hash) => reader.getTransactionReceipt({ hash }).catch(() => undefined)))
      return receipts.every(Boolean) ? { status: 200, receipts: receipts.map((r) => ({ transactionHash: r.transactionHash })) } : { status: 100 }
    },
  }
  return { asked, told: () => { silent = false }, request: async ({ method, params = [] }) => {
    asked.push(method)
    if (!methods[method] || (!atomic && method.startsWith('wallet_'))) throw Object.assign(new Error(`no ${method}`), { code: 4200 })
    return methods[method](params)
  } }
}

const client = await connect(server, { WebSocket })
const session = await client.signIn(walletOf(), { agent: 'payer', chain: 1337 })
const got = {}
const waiting = async (count) => {
  let calls = []
  for (let n = 0; calls.length !== count && n < 600; n++) {
    await new Promise((ok) => setTimeout(ok, 100))
    calls = await payments(session)
  }
  return calls
}
for (const [name, atomic, sums] of [['plain', undefined, [1]], ['batch', 'unsupported', [2, 3]], ['folds', 'supported', [4]]]) {
  const wallet = walletOf(atomic)
  const runs = sums.map((n) => session.run(`pay bob ${n} USDC`))
  const outcomes = Promise.all(runs.map(async (r) => (await r).text)) // awaited before it waits, or nobody follows
  const calls = await waiting(sums.length)
  const sent = await pay(session, wallet, calls)
  for (const s of sent) if (s.refused) throw s.refused // the server takes each hash
  got[name] = { sent: sent.length, said: (await outcomes).map((t) => t.replace(/ in block.*/s, '')), asked: wallet.asked.filter((m) => /send/.test(m)) }
}

// Deposits.
for (const [name, atomic, how] of [['atomic', 'supported'], ['itself', undefined], ['again', 'supported', { silent: true }]]) {
  const wallet = walletOf(atomic, how)
  const run = session.run('deposit 2 for alice')
  const outcome = run.then((o) => o)
  const calls = await waiting(1)
  let batch, sent
  try {
    sent = await pay(session, wallet, calls, (id) => { batch = id })
  } catch (e) {
    if (!how || !batch) throw e
    wallet.told() // the page was loaded again, and the wallet answers now
    sent = await settle(session, wallet, calls, batch)
  }
  for (const s of sent) if (s.refused) throw s.refused
  const { text } = await outcome
  got[name] = { sent: sent.length, said: [text.replace(/0x[0-9a-f]+|block \d+/gi, '#')], asked: wallet.asked.filter((m) => /send/.test(m)) }
  const { car, keys } = await session.provenance(calls[0].run)
  writeFileSync(`${folder}/${name}.car`, Buffer.from(await (await fetch(new URL(car, server))).arrayBuffer()))
  writeFileSync(`${folder}/${name}.keys`, JSON.stringify({ schema: 'writ/keys/1', keys: Object.fromEntries(Object.entries(keys).sort(([a], [b]) => (a < b ? -1 : 1))) }) + '\n')
}
const failing = session.run('deposit 2 for alice')
failing.then(() => {}, () => {})
const [failed] = await waiting(1)
got.failed = (await pay(session, walletOf('supported', { fails: true }), [failed])).length
await failing.cancel()

// It folds two payments into one transaction: neither is counted, and for neither another is to be sent.
const lied = [1, 1].map(() => session.run('pay bob 1 USDC'))
lied.forEach((r) => r.then(() => {}, () => {}))
const both = await waiting(2)
got.lied = (await pay(session, walletOf('unsupported', { folds: true }), both)).map((s) => s.refused?.data.reason)
for (const r of lied) await r.cancel()

// It refuses the second of two: the first is known to have been sent, and is not sent again with the second.
const two = [1, 2].map((n) => session.run(`pay bob ${n} USDC`))
const ends = Promise.all(two.map(async (r) => (await r).text))
let held, sends = 0
const picky = { ...walletOf(), asks: async ({ to, data, value }) => {
  if (++sends === 2) throw Object.assign(new Error('no'), { code: 4001 })
  if (held) await reader.waitForTransactionReceipt({ hash: await sender.sendRawTransaction({ serializedTransaction: held }) })
  const tx = await sender.prepareTransactionRequest({ to, data, value: BigInt(value), nonce: await reader.getTransactionCount({ address: account.address }) })
  const signed = await account.signTransaction(tx)
  if (held) return sender.sendRawTransaction({ serializedTransaction: signed })
  held = signed // it goes out later
  return keccak256(signed)
} }
const choosy = { request: (r) => (r.method === 'eth_sendTransaction' ? picky.asks(r.params[0]) : picky.request(r)) }
const rejected = await pay(session, choosy, await waiting(2)).catch((e) => e)
const known = await payments(session)
const later = await pay(session, choosy, known)
for (const s of later) if (s.refused) throw s.refused
got.rejected = {
  code: rejected.code, sent: rejected.sent.map((s) => s.hash === known[0].sent), known: known.map((c) => Boolean(c.sent)),
  later: later.length, sends, said: (await ends).map((t) => t.replace(/ in block.*/s, '')),
}

// Only of what the wallet says that it failed it is known that nothing was sent.
got.settled = []
for (const s of [{ status: 200 }, { status: 200, receipts: null }, { status: 'CONFIRMED', receipts: [] }, { status: 600 }, { status: 400 }, { status: 500, receipts: null }]) {
  got.settled.push(await settle(session, { request: async () => s }, [{}], 'id').then((sent) => String(sent.length), (e) => e.code))
}
const stranger = { request: async () => ['0x00000000000000000000000000000000000b0b00'] }
got.stranger = await pay(session, stranger, [{ chain: 1337, from: account.address }]).catch((e) => e.code)
client.close()
console.log(JSON.stringify(got))
