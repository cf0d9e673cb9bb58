// The SDK, as it is built, against a running server: each wallet library signs in, runs, approves, refuses, is refused; then
// sockets are cut at random while runs go on. Prints one JSON object. Arguments: the server's URL, the chain's id, cuts.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { connect, WritError } from './dist/index.js'
import { mockWallet } from './dist/test.js'
import { toAGUI } from './dist/ag-ui.js'
import { fork, send } from './dist/send.js'
import { attach } from './dist/attach.js'
import { pay } from './dist/pay.js'
import { writTransport } from './dist/ai-sdk.js'

// Other people's wallets are those of web/e2e.
const e2e = createRequire(new URL('../e2e/package.json', import.meta.url))
const load = async (name) => import(new URL(`file://${e2e.resolve(name)}`))
const { WebSocket } = await load('ws').then((m) => ({ WebSocket: m.WebSocket ?? m.default }))
const { generatePrivateKey, privateKeyToAccount } = await load('viem/accounts')
const { createWalletClient, custom, http } = await load('viem')
const { Wallet } = await load('ethers')

// Node would show the whole line of an error before the error, which in a minified file is the whole file.
process.on('uncaughtException', (e) => { process.stderr.write(`${e?.stack ?? e}\n`); process.exit(1) })

const [url, chain, cuts] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4] ?? 0)]
const sockets = new Set()
class Counted extends WebSocket {
  constructor(...args) {
    super(...args)
    sockets.add(this)
    // How many frames it hears before it may be cut: counted, not timed, so that on a slow machine too some sockets live
    // long enough to be of use.
    this.lives = Math.floor(12 * Math.random())
    this.addEventListener('message', () => this.lives--)
    this.addEventListener('close', () => sockets.delete(this))
  }
}
const states = []
const client = await connect(url, { WebSocket: Counted, onState: (s) => states.push(s) })
const code = (p) => Promise.resolve(p).then(() => 'accepted', (e) => (e instanceof WritError ? e.code : String(e)))

const account = privateKeyToAccount(generatePrivateKey())
const local = privateKeyToAccount(generatePrivateKey())
const mock = mockWallet()
const wallets = {
  provider: mock,
  'viem account': account,
  'viem client': createWalletClient({ account: local, transport: http('http://127.0.0.1:1') }),
  ethers: Wallet.createRandom(),
  function: { address: account.address, sign: (w) => ('message' in w ? account.signMessage(w) : account.signTypedData(w.typedData)) },
}
const out = { wallets: {}, codes: {} }
let session
for (const [name, wallet] of Object.entries(wallets)) {
  const c = await connect(url, { WebSocket })
  const s = await c.signIn(wallet, { agent: 'treasurer', chain })
  const asked = await s.run("what is alice's USDC balance?")
  const paid = await s.run('send 2 USDC to bob', { onApproval: (a) => a.approve() })
  out.wallets[name] = [asked.reason, paid.reason]
  c.close()
}
let shown = ''
session = await client.signIn(mock, { agent: 'treasurer', chain, review: (text) => { shown = text } }).catch((e) => e)
assert.equal(session.code, 'user_rejected', 'what was not agreed to was signed')
session = await client.signIn(undefined, { agent: 'treasurer', chain }).catch((e) => e) // window.ethereum of a browser without a wallet
assert.equal(session.message, 'No wallet gave an account.')
session = await client.signIn(mock, { agent: 'treasurer', chain, limits: { max_calls: 30 }, review: (text) => (shown = text) !== '' })
assert.match(shown, /30 tool calls/)
assert.equal(shown, session.message)

const refused = await session.run('send 2 USDC to bob', { onApproval: (a) => a.refuse('not now') })
out.codes.refused = refused.reason
mock.refuses = true
out.codes.rejected = await code(session.run('send 3 USDC to bob', { onApproval: (a) => a.approve() }))
mock.refuses = false
out.codes.foreign = await code(session.follow('bafyreibxefuopq4h3kynpw3nd2akqgwryhwc6q4enknigghod6k6zlfra4'))
out.codes.denied = (await session.run('send 500 USDC to mallory')).reason
const stop = new AbortController()
out.codes.cancelled = (await session.run('send 4 USDC to bob', { signal: stop.signal, onApproval: () => stop.abort() })).reason
out.codes.agent = await code(client.signIn(mock, { agent: 'nobody', chain }))

// A page that was loaded again takes its session up, and approves what waited.
const parked = session.run('send 2 USDC to bob')
for await (const u of parked) if (u.kind === 'approval') break
const second = await connect(url, { WebSocket })
const again = await second.resume(session.save(), mock)
const waiting = (await again.approvals()).find((a) => a.summary?.amount === '2 USDC')
await waiting.approve()
out.codes.resumed = (await again.follow(await parked.started)).reason
second.close()

// What is sent into a run that waits is told after: the agent then answers it.
const steered = session.run('send 2 USDC to bob', { onApproval: async (a) => { await send(session, steered, "what is alice's USDC balance?"); await a.approve() } })
const { reason, text } = await steered
out.codes.steered = `${reason} ${/^alice holds/.test(text)}`
out.codes.over = await code(send(session, steered, 'too late'))

// Files: the record names what was put, a socket that is cut under way costs nothing twice, and what is not taken is said
// before anything is sent.
const picture = new Uint8Array(400_000).fill(7)
picture.set([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
const progress = []
const put = await attach(session, [picture, new File(['# Terms\nnone'], 'a/"terms".md'), new Blob(['{"a":1}'], { type: 'application/json' }), picture], {
  onProgress: (have, all) => {
    progress.push(have / all)
    if (progress.length === 4) for (const s of sockets) s.terminate()
  },
})
const named = (u) => (u.kind === 'event' && u.event.event.kind === 'ask' ? u.event.event.input.attach : undefined)
out.files = { put: put.map((f) => `${f.name ?? ''} ${f.type} ${f.size}`), pieces: progress.length, rises: progress.every((p, i) => i === 0 || p >= progress[i - 1]) && progress.at(-1) === 1 }
let again2 = 0
await attach(session, [picture], { onProgress: () => again2++ })
out.files.again = again2 // the first, and that all is there
let step
for await (const u of session.run("what is alice's USDC balance?", { attach: put })) {
  if (named(u)) out.files.recorded = named(u).length
  if (u.kind === 'event') step ??= u.event.cid
}
for await (const u of (await fork(session, step, "what is bob's USDC balance?", { attach: put.slice(1) })).run) if (named(u)) out.files.forked = named(u).length
const spoken = session.run('send 2 USDC to bob', { onApproval: async (a) => { await send(session, spoken, "what is alice's USDC balance?", undefined, undefined, put.slice(1, 2)); await a.approve() } })
out.files.sent = (await spoken).reason
const says = (files, options) => attach(session, files, options).then(() => 'accepted', (e) => (e instanceof WritError ? `${e.code}: ${e.message}` : e.name))
out.files.refused = await Promise.all([
  [], ['x'.repeat(300_000)], [new Uint8Array([0x7f, 0x45, 0x4c, 0x46, 0, 1])], [new File([new Uint8Array(5 << 20)], 'large.png')], [''], Array(9).fill('x'),
  [{ data: '{', name: 'a.JSON' }], [1, 2, 3].map((n) => { const b = new Uint8Array(3 << 20).fill(n); b.set([0xff, 0xd8, 0xff]); return b }),
].map((files) => says(files)))
out.files.stopped = await says(['stopped'], { signal: AbortSignal.abort() })
out.codes.absent = await code(session.run('hello', { attach: [{ cid: put[0].cid.replace(/.{5}$/, 'aaaaa'), size: 3, type: 'text/plain' }] }))
out.codes.unpaid = await code(pay(session, mock, [{ chain: 1, from: '0x1' }, { chain: 2, from: '0x1' }]))

// Each event as AG-UI's own package has it.
const { EventSchemas } = await import('@ag-ui/core/schemas')
assert.equal(EventSchemas.safeParse({ type: 'TEXT_MESSAGE_CONTENT', delta: 'x' }).success, false, 'the schema takes anything')
out.agui = { types: [], bad: [] }
for (const ask of ['send 0.5 USDC to bob', 'send 500 USDC to mallory']) {
  for await (const e of toAGUI(session.run(ask))) {
    const { success, error } = EventSchemas.safeParse(e)
    if (!success) out.agui.bad.push(`${e.type}: ${error.message}`)
    out.agui.types.push(e.type)
  }
}

// The AI SDK itself reads what its transport is given: each chunk by its schema, and all of them to a message.
const { readUIMessageStream, uiMessageChunkSchema } = await import('ai')
const schema = uiMessageChunkSchema()
out.ui = { chunks: 0, bad: [] }
const heard = await writTransport(session).sendMessages({ messages: [{ role: 'user', parts: [{ type: 'text', text: 'send 0.5 USDC to bob' }] }] })
const checked = heard.pipeThrough(new TransformStream({
  transform: async (chunk, to) => {
    out.ui.chunks++
    if (!(await schema.validate(chunk)).success) out.ui.bad.push(chunk.type)
    to.enqueue(chunk)
  },
}))
for await (const m of readUIMessageStream({ stream: checked, onError: (e) => out.ui.bad.push(String(e)) })) {
  out.ui.text = m.parts.filter((p) => p.type === 'text').map((p) => p.text).join('')
  out.ui.tools = m.parts.filter((p) => p.type === 'dynamic-tool').map((p) => `${p.toolName} ${p.state}`)
  out.ui.reason = m.metadata?.reason
}

// Sockets are cut at random while runs go on: every event comes once and in order.
out.cuts = { done: 0, events: 0, lost: 0, doubled: 0 }
let cutting = true
const cutOften = async () => {
  while (cutting && out.cuts.done < cuts) {
    await new Promise((ok) => setTimeout(ok, 150 + 100 * Math.random())) // a wallet may open so many sockets a second
    for (const s of sockets)
      if (s.readyState === WebSocket.OPEN && s.lives < 0 && out.cuts.done < cuts) { out.cuts.done++; s.terminate() }
  }
}
const cut = cutOften()
while (out.cuts.done < cuts) {
  let next = 0
  for await (const u of session.run("what is alice's USDC balance?")) {
    if (u.kind === 'void') next = 0
    if (u.kind !== 'event') continue
    out.cuts.events++
    if (u.event.seq > next) out.cuts.lost++
    if (u.event.seq < next) out.cuts.doubled++
    next = u.event.seq + 1
  }
  if (out.cuts.events > 40 * cuts + 400) break
}
cutting = false
await cut

await session.revoke()
out.codes.revoked = await code(session.runs())
client.close()
out.codes.closed = await code(session.runs())
out.states = [...new Set(states)]
console.log(JSON.stringify(out))
