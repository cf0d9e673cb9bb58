// Signs HTTP requests as ERC-8128 and RFC 9421 have it, with viem and no code of this project, and says what came of each.
import { createHash, randomBytes } from 'node:crypto'
import { request } from 'node:http'
import { privateKeyToAccount } from 'viem/accounts'

const [server, session, key, otherKey, again] = process.argv.slice(2)
const url = new URL(server)
const now = () => Math.floor(Date.now() / 1000)

// sign makes the headers of one request; change says what is to be otherwise than it should.
const sign = async (path, body, { by = key, created = now(), life = 60, nonce = randomBytes(16).toString('base64url'), scheme = 'http',
  method = 'POST', keyid, tag = 'erc8128', query = '', parts = ['@scheme', '@authority', '@method', '@path', '@query', 'content-digest', 'content-type'] } = {}) => {
  const account = privateKeyToAccount(by)
  const values = {
    '@scheme': scheme, '@authority': url.host, '@method': method, '@path': path, '@query': '?' + query,
    'content-digest': `sha-256=:${createHash('sha256').update(body).digest('base64')}:`, 'content-type': 'application/json'
  }
  const params = `(${parts.map((p) => `"${p}"`).join(' ')});created=${created};expires=${created + life};nonce="${nonce}";` +
    `keyid="${keyid ?? `eip155:1:${account.address.toLowerCase()}`}";tag="${tag}"`
  const base = [...parts.map((p) => `"${p}": ${values[p]}`), `"@signature-params": ${params}`].join('\n')
  const sig = await account.signMessage({ message: { raw: Buffer.from(base) } })
  return {
    'content-type': 'application/json', 'content-digest': values['content-digest'], 'signature-input': `sig1=${params}`,
    signature: `sig1=:${Buffer.from(sig.slice(2), 'hex').toString('base64')}:`
  }
}
const post = (path, body, headers) => new Promise((ok, no) => {
  const r = request(new URL(path, server), { method: 'POST', headers }, (res) => {
    let text = ''
    res.on('data', (d) => { text += d })
    res.on('end', () => ok({ status: res.statusCode, run: res.headers['x-writ-run'], text }))
  })
  r.on('error', no)
  r.end(body)
})
const path = `/v1/sessions/${session}/run.start`
const ask = (n, more) => JSON.stringify({ agent: 'treasurer', input: "what is alice's USDC balance?", idempotency_key: `signed-000${n}`, ...more })
const out = {}
const say = async (name, at, body, headers) => {
  let res
  do {
    res = await post(at, body, headers)
    if (res.status === 429) await new Promise((ok) => setTimeout(ok, 200)) // refusals are counted
  } while (res.status === 429)
  const { status, run, text } = res
  let v = {}
  try { v = JSON.parse(text) } catch {}
  out[name] = { status, run, text: v.text ?? v.error?.message ?? text }
}
if (again) { // what was taken before the server was started anew
  await say('after a restart', path, ask(1), JSON.parse(again))
} else {
  const first = await sign(path, ask(1))
  await say('signed', path, ask(1), first)
  await say('once more', path, ask(1), first)
  await say('the same with another nonce', path, ask(1), await sign(path, ask(1)))
  await say('another body', path, ask(2, { input: 'send 5 USDC to bob' }), await sign(path, ask(2)))
  await say('another key', path, ask(3), await sign(path, ask(3), { by: otherKey }))
  await say('the wallet', path, ask(3), await sign(path, ask(3), { by: otherKey, keyid: `eip155:1:${privateKeyToAccount(key).address.toLowerCase()}` }))
  await say('another path', `/v1/sessions/${session}/run.cancel`, ask(3), await sign(path, ask(3)))
  await say('a method that is not signed', `/v1/sessions/${session}/session.revoke`, '{}', await sign(`/v1/sessions/${session}/session.revoke`, '{}'))
  await say('no session', '/v1/sessions/x/run.start', ask(3), await sign('/v1/sessions/x/run.start', ask(3)))
  await say('a query', path + '?x=1', ask(3), await sign(path, ask(3)))
  await say('a signed query', path + '?x=1', ask(3), await sign(path, ask(3), { query: 'x=1' }))
  await say('expired', path, ask(3), await sign(path, ask(3), { created: now() - 100 }))
  await say('of a time to come', path, ask(3), await sign(path, ask(3), { created: now() + 120 }))
  await say('good for too long', path, ask(3), await sign(path, ask(3), { life: 3600 }))
  await say('another scheme', path, ask(3), await sign(path, ask(3), { scheme: 'https' }))
  await say('without the digest', path, ask(3), await sign(path, ask(3), { parts: ['@scheme', '@authority', '@method', '@path', '@query', 'content-type'] }))
  await say('delegated', path, ask(3), await sign(path, ask(3), { tag: 'erc8128-delegated' }))
  await say('a key besides', path, ask(3), { ...await sign(path, ask(3)), authorization: 'Bearer writ_x' })
  await say('not signed', path, ask(3), { 'content-type': 'application/json' })
  await say('with parts in another order', path, ask(4), await sign(path, ask(4), { parts: ['content-digest', '@query', '@path', '@method', '@authority', '@scheme', 'content-type'] }))
  out.first = JSON.stringify(first)
}
console.log(JSON.stringify(out))
