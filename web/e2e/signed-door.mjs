// Signs requests in the form of OpenAI's and Anthropic's APIs as ERC-8128 and RFC 9421 have it, with viem and no code of this
// project, and says what came of each.
import { createHash, randomBytes } from 'node:crypto'
import { request } from 'node:http'
import { privateKeyToAccount } from 'viem/accounts'

const [server, session, key, otherKey, otherSession, again] = process.argv.slice(2)
const url = new URL(server)
const now = () => Math.floor(Date.now() / 1000)
const whole = ['@scheme', '@authority', '@method', '@path', '@query', 'content-digest', 'content-type', 'x-writ-session']

// sign makes the headers of one request; more says what is to be otherwise than it should.
const sign = async (path, body, { by = key, created = now(), nonce = randomBytes(16).toString('base64url'), of = session, id, parts = whole, drop } = {}) => {
  const account = privateKeyToAccount(by)
  const values = {
    '@scheme': 'http', '@authority': url.host, '@method': 'POST', '@path': path, '@query': '?',
    'content-digest': `sha-256=:${createHash('sha256').update(body).digest('base64')}:`, 'content-type': 'application/json',
    'x-writ-session': of, 'idempotency-key': id
  }
  if (id) parts = [...parts, 'idempotency-key']
  const params = `(${parts.map((p) => `"${p}"`).join(' ')});created=${created};expires=${created + 60};nonce="${nonce}";` +
    `keyid="eip155:1:${account.address.toLowerCase()}";tag="erc8128"`
  const base = [...parts.map((p) => `"${p}": ${values[p]}`), `"@signature-params": ${params}`].join('\n')
  const sig = await account.signMessage({ message: { raw: Buffer.from(base) } })
  const headers = {
    'content-type': 'application/json', 'content-digest': values['content-digest'], 'signature-input': `sig1=${params}`,
    signature: `sig1=:${Buffer.from(sig.slice(2), 'hex').toString('base64')}:`, 'x-writ-session': of
  }
  if (id) headers['idempotency-key'] = id
  for (const name of drop ?? []) delete headers[name]
  return headers
}
const post = (path, body, headers, gone) => new Promise((ok, no) => {
  const r = request(new URL(path, server), { method: 'POST', headers }, (res) => {
    let text = ''
    const answer = () => ok({ status: res.statusCode, run: res.headers['x-writ-run'], text })
    if (gone) { // it goes away as soon as it knows the run
      r.destroy()
      return answer()
    }
    res.on('data', (d) => { text += d })
    res.on('end', answer)
  })
  r.on('error', (e) => gone || no(e))
  r.end(body)
})
const chat = '/v1/chat/completions'
const { headers: taken, salt } = again ? JSON.parse(again) : { salt: randomBytes(16).toString('base64url') }
const metadata = { writ_salt: salt } // chance, without which no body is taken
const ask = (text, more) => JSON.stringify({ model: 'treasurer', metadata, messages: [{ role: 'user', content: text }], ...more })
const balance = "what is alice's USDC balance?"
const out = {}
const say = async (name, at, body, headers) => {
  let res
  do {
    res = await post(at, body, headers)
    if (res.status === 429) await new Promise((ok) => setTimeout(ok, 200)) // refusals are counted
  } while (res.status === 429)
  out[name] = res
}
if (again) { // what was taken before the server was started anew
  await say('after a restart', chat, ask(balance), taken)
} else {
  const first = await sign(chat, ask(balance))
  await say('chat', chat, ask(balance), first)
  await say('once more', chat, ask(balance), first)
  const stream = ask(balance, { stream: true, temperature: 0 })
  await say('chat, streamed', chat, stream, await sign(chat, stream))
  const responses = JSON.stringify({ model: 'writ/treasurer', metadata, input: balance })
  await say('responses', '/v1/responses', responses, await sign('/v1/responses', responses))
  const messages = JSON.stringify({ model: 'treasurer', metadata, max_tokens: 100, messages: [{ role: 'user', content: balance }] })
  await say('messages', '/v1/messages', messages, await sign('/v1/messages', messages))
  const told = JSON.stringify({ model: 'treasurer', metadata, max_tokens: 100, stream: true, messages: [{ role: 'user', content: balance }] })
  await say('messages, streamed', '/v1/messages', told, await sign('/v1/messages', told))
  await say('under a key', chat, ask(balance), await sign(chat, ask(balance), { id: 'one' }))
  await say('under the key again', chat, ask(balance), await sign(chat, ask(balance), { id: 'one' }))
  const same = await sign(chat, ask(balance))
  const twenty = await Promise.all(Array.from({ length: 20 }, () => post(chat, ask(balance), same)))
  out.twenty = { status: twenty.filter((r) => r.status === 200).length, text: [...new Set(twenty.map((r) => r.status))].sort().join(' '), run: '' }
  await say('another body', '/v1/messages', told, await sign('/v1/messages', messages))
  await say('another form', '/v1/responses', ask(balance), await sign(chat, ask(balance)))
  await say('another key', chat, ask(balance), await sign(chat, ask(balance), { by: otherKey }))
  await say('another session', chat, ask(balance), await sign(chat, ask(balance), { of: otherSession }))
  await say('another session in the header alone', chat, ask(balance), { ...await sign(chat, ask(balance)), 'x-writ-session': otherSession })
  await say('a session that is not signed', chat, ask(balance), await sign(chat, ask(balance), { parts: whole.slice(0, -1) }))
  await say('no session', chat, ask(balance), await sign(chat, ask(balance), { parts: whole.slice(0, -1), drop: ['x-writ-session'] }))
  await say('no digest', '/v1/messages', messages, await sign('/v1/messages', messages, { drop: ['content-digest'] }))
  await say('expired', '/v1/messages', messages, await sign('/v1/messages', messages, { created: now() - 100 }))
  await say('a key that is not signed', chat, ask(balance), { ...await sign(chat, ask(balance)), 'idempotency-key': 'two' })
  await say('a key besides', '/v1/messages', messages, { ...await sign('/v1/messages', messages), 'x-api-key': 'x' })
  const start = JSON.stringify({ agent: 'treasurer', input: balance, idempotency_key: 'signed-0001' })
  const native = `/v1/sessions/${session}/run.start`
  await say('natively with more', native, start, await sign(native, start))
  const quoting = JSON.stringify({ model: 'treasurer', metadata, input: [{ type: 'item_reference', id: 'msg_' + out.responses.run }, { role: 'user', content: 'and bob?' }] })
  await say('what refers to an answer', '/v1/responses', quoting, await sign('/v1/responses', quoting))
  const guessed = JSON.stringify({ model: 'treasurer', max_tokens: 100, messages: [{ role: 'user', content: balance }] })
  await say('without chance', '/v1/messages', guessed, await sign('/v1/messages', guessed))
  const left = ask('send 900 USDC to bob', { stream: true })
  out.gone = await post(chat, left, await sign(chat, left), true)
  out.first = JSON.stringify({ headers: first, salt })
}
console.log(JSON.stringify(out))
