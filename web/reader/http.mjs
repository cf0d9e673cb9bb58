// Requests that a session's account signed as HTTP (ERC-8128, RFC 9421): docs/record.md, "What is signed". Everything of the
// frame follows from the text that was signed, the base.
import { keccak256 } from './k1.mjs'
import { base32, uncompress } from './points.mjs'
import { checksum, recover, same, sha256, textHash } from './signed.mjs'

const whole = ['@scheme', '@authority', '@method', '@path', '@query', 'content-digest', 'content-type']
const session = 'x-writ-session'

// fieldsOf parts the bytes of a frame: each field stands behind its length.
function fieldsOf (frame) {
  const fields = []
  for (let at = 0; at < frame.length;) {
    const size = frame.readUInt32BE(at)
    fields.push(frame.subarray(at + 4, at + 4 + size))
    at += 4 + size
  }
  return fields
}

// linkOf writes a CID, in base32.
const linkOf = bytes => 'b' + base32(bytes, 'abcdefghijklmnopqrstuvwxyz234567')

const accountOf = key => '0x' + Buffer.from(keccak256(Buffer.concat(uncompress('secp256k1', key.raw).map(b => Buffer.from(b))))).subarray(12).toString('hex')

// claimsOf reads the last line: which parts are signed, and the parameters, each once.
function claimsOf (line) {
  const m = /^"@signature-params": \("([^()"]+(?:" "[^()"]+)*)"\)((?:;[a-z]+=(?:\d+|"[^"]*"))+)$/.exec(line)
  if (!m || line.length - '"@signature-params": '.length > 1024) return undefined
  const params = new Map(m[2].slice(1).split(';').map(p => [p.slice(0, p.indexOf('=')), p.slice(p.indexOf('=') + 1)]))
  const number = s => /^(0|[1-9]\d*)$/.test(s) && Number(s) < 2 ** 52
  const [created, expires] = [params.get('created'), params.get('expires')]
  const good = params.size === 5 && m[2].split(';').length === 6 && number(created) && number(expires) && Number(created) < Number(expires) &&
    /^"[A-Za-z0-9_.~+/=-]{16,128}"$/.test(params.get('nonce')) && params.get('tag') === '"erc8128"'
  const keyid = /^"eip155:([1-9]\d*):(0x[0-9a-f]{40})"$/.exec(params.get('keyid'))
  return good && keyid && Number(keyid[1]) < 2 ** 53 ? { parts: m[1].split('" "'), account: keyid[2] } : undefined
}

// isSigned says whether a session key signed a frame as the HTTP request that it is.
export function isSigned (key, frame, sig) {
  const [, id, channel, seq, method, params] = fieldsOf(Buffer.from(frame))
  const base = Buffer.from(sig).subarray(65)
  if (key.kind !== 'secp256k1' || !base.every(c => c === 10 || (c >= 0x20 && c <= 0x7e))) return false
  const lines = base.toString('latin1').split('\n')
  const claims = claimsOf(lines.pop())
  if (!claims || claims.parts.length !== lines.length || new Set(claims.parts).size !== lines.length) return false
  const values = {}
  for (const [i, part] of claims.parts.entries()) {
    if (!lines[i].startsWith(`"${part}": `)) return false
    const value = lines[i].slice(part.length + 4)
    if (value === '' || value.length > 256 || value.trim() !== value) return false
    values[part] = value
  }
  // A body in the form of another API has its session in a header, since the path has no room for it.
  const name = method.toString()
  const isForm = ['chat.completions', 'responses', 'messages'].includes(name)
  const known = isForm ? [...whole, session, 'idempotency-key'] : whole
  const path = isForm ? '/v1/' + name.replace('.', '/') : `/v1/sessions/${linkOf(id)}/${name}`
  return whole.every(p => values[p]) && claims.parts.every(p => known.includes(p)) && (!isForm || values[session] === linkOf(id)) &&
    values['@method'] === 'POST' && values['@query'] === '?' && values['@path'] === path &&
    values['content-digest'] === `sha-256=:${params.toString('base64')}:` &&
    claims.account === accountOf(key) && seq.readBigUInt64BE(0) === 1n && same(channel, sha256('writ/http/1\n', base)) &&
    sig[64] >= 27 && recover(textHash(base), Buffer.from(sig).subarray(0, 65)) === checksum(claims.account.slice(2))
}
