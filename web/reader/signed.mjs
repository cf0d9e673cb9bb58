// What wallets and session keys sign, as docs/record.md ("What is signed") has it: the text of a permission, its ReCap and
// the sentence that must follow from it, frames, approvals as typed data. It throws what is wrong, with the code of
// auth/testdata/vectors where there is one.
import { createHash, createPublicKey, verify } from 'node:crypto'
import { CID } from 'multiformats/cid'
import { base58btc } from 'multiformats/bases/base58'
import { isSigned } from './http.mjs'
import { keccak256, order, recoverKey, verifyKey } from './k1.mjs'
import { base32, isEd25519, uncompress } from './points.mjs'

export class Wrong extends Error {
  constructor (code, what) {
    super(what ? `${code}: ${what}` : code)
    this.code = code
  }
}

export function want (holds, code, what) {
  if (!holds) throw new Wrong(code, what)
}

export const same = (a, b) => a.length === b.length && Buffer.compare(a, b) === 0
export const sha256 = (...parts) => createHash('sha256').update(Buffer.concat(parts.map(p => Buffer.from(p)))).digest()
const keccak = (...parts) => Buffer.from(keccak256(Buffer.concat(parts.map(p => Buffer.from(p)))))

// ---- RFC 3986, as far as EIP-4361 needs it

const name = "A-Za-z0-9\\-._~!$&'()*+,;="
const path = name + ':@'
const enc = (chars) => `(?:[${chars}]|%[0-9A-Fa-f]{2})*`
const pathOf = new RegExp(`^${enc(path + '/?')}(?:#${enc(path + '/?')})?$`)
const userOf = new RegExp(`^${enc(name + ':@')}$`)
const hostOf = new RegExp(`^${enc(name)}$`)
const requestOf = new RegExp(`^${enc(path)}$`)
const schemeOf = /^[A-Za-z][A-Za-z0-9+.-]*$/

function isIPv4 (s) {
  return /^\d{1,3}(\.\d{1,3}){3}$/.test(s) && s.split('.').every(p => Number(p) < 256 && (p.length === 1 || p[0] !== '0'))
}

function isIPv6 (s) {
  const at = s.indexOf('::')
  const groups = (t, last) => {
    if (t === '') return 0
    const parts = t.split(':')
    return parts.reduce((n, p, i) => {
      if (last && i === parts.length - 1 && p.includes('.')) return n + (isIPv4(p) ? 2 : NaN)
      return n + (/^[0-9A-Fa-f]{1,4}$/.test(p) ? 1 : NaN)
    }, 0)
  }
  if (at < 0) return groups(s, true) === 8
  return !s.slice(at + 2).includes('::') && groups(s.slice(0, at), false) + groups(s.slice(at + 2), true) <= 7
}

// authority returns [host, port] of an authority, or nothing.
function authority (s) {
  const at = s.indexOf('@')
  if (at >= 0) {
    if (!userOf.test(s.slice(0, at))) return undefined
    s = s.slice(at + 1)
  }
  if (s[0] === '[') {
    const m = /^\[([^\]]*)\](?::(\d*))?$/.exec(s)
    return m && isIPv6(m[1]) ? [m[1], m[2] ?? ''] : undefined
  }
  const colon = s.indexOf(':')
  const [host, port] = colon < 0 ? [s, ''] : [s.slice(0, colon), s.slice(colon + 1)]
  return hostOf.test(host) && /^\d*$/.test(port) ? [host, port] : undefined
}

function isURI (s) {
  const colon = s.indexOf(':')
  if (colon < 0 || !schemeOf.test(s.slice(0, colon))) return false
  let rest = s.slice(colon + 1)
  if (rest.startsWith('//')) {
    const end = 2 + rest.slice(2).search(/[/?#]|$/)
    if (!authority(rest.slice(2, end))) return false
    rest = rest.slice(end)
  }
  return pathOf.test(rest)
}

// ---- addresses, times, keys

export function checksum (hex) {
  const lower = hex.toLowerCase()
  const hash = keccak(lower).toString('hex')
  return '0x' + [...lower].map((c, i) => parseInt(hash[i], 16) >= 8 ? c.toUpperCase() : c).join('')
}

const isAddress = s => /^0x[0-9A-Fa-f]{40}$/.test(s) && checksum(s.slice(2)) === s
const isReserved = s => /^0x0{36}0[01]/.test(s)
const isRecipient = s => isAddress(s) && !isReserved(s)

// timeOf reads a date-time of RFC 3339 as nanoseconds since 1970.
function timeOf (s) {
  const m = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/.exec(s)
  if (!m) return undefined
  const [year, month, day, hour, minute, second] = m.slice(1, 7).map(Number)
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  // A day that its month has not is one of another month.
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day || hour > 23 || minute > 59 || second > 60) return undefined
  let offset = 0
  if (m[8].length > 1) {
    const [h, min] = [Number(m[8].slice(1, 3)), Number(m[8].slice(4))]
    if (h > 23 || min > 59) return undefined
    offset = (m[8][0] === '-' ? -1 : 1) * (60 * h + min)
  }
  date.setUTCHours(hour, minute - offset, second)
  if (second === 60 && !/-0[17]-01T00:00:/.test(date.toISOString())) return undefined
  return BigInt(date.getTime()) * 1000000n + BigInt((m[7] ?? '.').slice(1).padEnd(9, '0'))
}

// keyOf reads a did:key: Ed25519, P-256 or secp256k1.
export function keyOf (did) {
  want(did.startsWith('did:key:z'), 'key.form', did)
  let bytes
  try { bytes = Buffer.from(base58btc.decode(did.slice(8))) } catch { throw new Wrong('key.form', did) }
  const kind = { ed01: 'ed25519', 8024: 'p256', e701: 'secp256k1' }[bytes.subarray(0, 2).toString('hex')]
  want(kind, 'key.codec', did)
  const raw = bytes.subarray(2)
  want(kind === 'ed25519' ? raw.length === 32 && isEd25519(raw) : raw.length === 33 && uncompress(kind, raw), 'key.form', did)
  want('did:key:' + base58btc.encode(bytes) === did, 'key.form', did)
  return { kind, raw, did }
}

const base64url = b => Buffer.from(b).toString('base64').replace(/=+$/, '').replaceAll('+', '-').replaceAll('/', '_')

// verifyJWK checks a signature by a public key: of Ed25519, or ECDSA as r and s over SHA-256. Where it runs may do it later.
const verifyJWK = (algorithm, jwk, message, sig) =>
  verify(algorithm, message, { key: createPublicKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' }, sig)

export const ed25519Verify = (publicKey, message, sig) => verifyJWK(null, { kty: 'OKP', crv: 'Ed25519', x: base64url(publicKey) }, message, sig)

// verifyBy checks a session key's signature: Ed25519 over the message, ECDSA as r and s over its SHA-256; a longer one is
// that of an HTTP request.
export async function verifyBy (key, message, sig) {
  if (sig?.length > 65) return want(isSigned(key, message, sig), 'sig.signer')
  want(sig?.length === 64, 'sig.size')
  let ok = false
  try {
    if (key.kind === 'ed25519') ok = await ed25519Verify(key.raw, message, sig)
    else if (key.kind === 'secp256k1') ok = verifyKey(sha256(message), sig, key.raw)
    else {
      const [x, y] = uncompress('p256', key.raw).map(base64url)
      ok = await verifyJWK('sha256', { kty: 'EC', crv: 'P-256', x, y }, message, sig)
    }
  } catch (e) { if (e.name === 'NotSupportedError') throw e } // a browser without this curve has not found a fault
  want(ok, 'sig.signer')
}

// recover returns the address that made a signature of r, s and v over a digest.
export function recover (hash, sig) {
  want(sig.length === 65, 'sig.size')
  const v = sig[64] < 2 ? sig[64] + 27 : sig[64]
  want(v === 27 || v === 28, 'sig.v')
  const [r, s] = [sig.subarray(0, 32), sig.subarray(32, 64)].map(b => BigInt('0x' + Buffer.from(b).toString('hex')))
  want(r > 0n && s > 0n && r < order && s < order, 'sig.range')
  want(s <= order / 2n, 'sig.high_s')
  let point
  try {
    point = recoverKey(hash, sig.subarray(0, 64), v - 27)
  } catch { throw new Wrong('sig.recover') }
  return checksum(keccak(point.subarray(1)).subarray(12).toString('hex'))
}

// readSignature reads a signature as wallets return it.
export function readSignature (text) {
  want(/^0x([0-9A-Fa-f]{2})*$/.test(text) && text.length <= 2 + 2 * 8192, 'sig.hex')
  const sig = Buffer.from(text.slice(2), 'hex')
  want(sig.length === 65, 'sig.size')
  return sig
}

export const textHash = text => keccak(`\x19Ethereum Signed Message:\n${text.length}`, text)

// ---- the text: EIP-4361

export function parseMessage (raw) {
  want(raw.length <= 8192, 'message.size')
  want(raw.every(c => c === 10 || (c >= 0x20 && c <= 0x7e)), 'message.ascii')
  const lines = Buffer.from(raw).toString('latin1').split('\n')
  let at = 0
  const next = () => {
    want(at < lines.length, 'message.line', `it ends before line ${at + 1}`)
    return lines[at++]
  }
  const field = label => {
    const s = next()
    want(s.startsWith(label + ': '), 'message.line', `${label} was expected on line ${at}`)
    return s.slice(label.length + 2)
  }
  const option = prefix => lines[at]?.startsWith(prefix) ? next().slice(prefix.length) : undefined
  const stamp = s => {
    if (s === undefined) return undefined
    const t = timeOf(s)
    want(t !== undefined, 'time.form', s)
    return t
  }
  const m = { scheme: '' }
  const first = next()
  const greeting = ' wants you to sign in with your Ethereum account:'
  want(first.endsWith(greeting), 'message.line', 'the greeting')
  m.domain = first.slice(0, -greeting.length)
  const sep = m.domain.indexOf('://')
  if (sep >= 0) {
    m.scheme = m.domain.slice(0, sep)
    m.domain = m.domain.slice(sep + 3)
    want(schemeOf.test(m.scheme), 'scheme.form')
  }
  const auth = authority(m.domain)
  want(auth && auth[0] !== '' && (auth[1].length < 5 || (auth[1].length === 5 && auth[1] <= '65535')), 'domain.form')
  m.address = next()
  want(/^0x[0-9A-Fa-f]{40}$/.test(m.address), 'address.form')
  want(isAddress(m.address), 'address.checksum')
  want(next() === '', 'message.line', 'an empty line')
  const statement = next()
  const second = next()
  if (statement === '' && second.startsWith('URI: ')) m.uri = second.slice(5)
  else {
    m.statement = statement
    want(new RegExp(`^[ ${path}/?#[\\]]*$`).test(statement), 'statement.char')
    want(second === '', 'message.line', 'an empty line')
    m.uri = field('URI')
  }
  want(isURI(m.uri), 'uri.form')
  want(field('Version') === '1', 'version.unknown')
  const chain = field('Chain ID')
  want(/^(0|[1-9]\d*)$/.test(chain), 'chain.form')
  m.chain = Number(chain)
  want(m.chain > 0 && Number.isSafeInteger(m.chain), 'chain.range')
  m.nonce = field('Nonce')
  want(/^[A-Za-z0-9]{8,128}$/.test(m.nonce), 'nonce.form')
  m.issued = stamp(field('Issued At'))
  m.expires = stamp(option('Expiration Time: '))
  m.notBefore = stamp(option('Not Before: '))
  m.requestId = option('Request ID: ')
  want(m.requestId === undefined || (m.requestId.length <= 128 && requestOf.test(m.requestId)), 'request_id.form')
  const list = option('Resources:')
  if (list !== undefined) {
    want(list === '', 'message.line', 'Resources')
    m.resources = []
    while (at < lines.length) {
      const s = next()
      want(!(s === '' && at === lines.length), 'message.line', 'a line break at the end')
      want(s.startsWith('- ') && isURI(s.slice(2)), 'resource.form')
      want(m.resources.length < 16, 'resource.count')
      m.resources.push(s.slice(2))
    }
  }
  want(at === lines.length, 'message.line', `line ${at + 1}`)
  return m
}

// ---- the permission: ReCap, caveats, sentence

const agentPrefix = 'urn:writ:agent:'
const isTool = s => s.length <= 64 && s.split('.').every(p => /^[a-z][a-z0-9_]*$/.test(p))
const isHost = s => s.length <= 253 && s.split('.').every(p => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(p))
// isSource says whether s looks like a network or is the origin of a page. No record has an address to hold it against, so
// that a network is in its one spelling is left to who keeps to it.
const isSource = s => /^[\da-f.:]+\/\d+$/.test(s) || isOrigin(...s.split(/:\/\/(.*)/))
const isThing = s => /^erc721:.{42}\/(0|[1-9]\d{0,77})$/.test(s) && isRecipient(s.slice(7, 49)) && BigInt(s.slice(50)) < 1n << 256n
const isModel = s => /^[A-Za-z0-9._:/@+-]{1,64}$/.test(s)
const isObject = v => v !== null && typeof v === 'object' && !Array.isArray(v)

// sorted writes JSON with the keys of every object in order.
export function sorted (v) {
  if (Array.isArray(v)) return '[' + v.map(sorted).join(',') + ']'
  if (isObject(v)) return '{' + Object.keys(v).sort().map(k => JSON.stringify(k) + ':' + sorted(v[k])).join(',') + '}'
  return JSON.stringify(v)
}

const decimal = (units, decimals) => {
  const s = units.padStart(decimals + 1, '0')
  const fraction = decimals ? s.slice(-decimals).replace(/0+$/, '') : ''
  return (decimals ? s.slice(0, -decimals) : s) + (fraction && '.' + fraction)
}
const amount = a => `${decimal(a.units, a.decimals)} ${a.asset}`

export function parseRecap (uri) {
  want(uri.startsWith('urn:recap:'), 'recap.missing')
  const b64 = uri.slice(10)
  const standard = b64.replaceAll('-', '+').replaceAll('_', '/')
  const data = Buffer.from(standard, 'base64')
  want(/^[A-Za-z0-9_-]*$/.test(b64) && data.toString('base64').replace(/=+$/, '') === standard, 'recap.base64')
  let v
  try { v = JSON.parse(data.toString('latin1')) } catch { throw new Wrong('recap.json') }
  const shape = (holds, what) => want(holds, 'recap.json', what)
  shape(isObject(v) && Object.keys(v).join() === 'att' && isObject(v.att), 'att')
  const resources = Object.keys(v.att)
  shape(resources.length === 1 && resources[0].startsWith(agentPrefix), 'the resource')
  const agent = resources[0].slice(agentPrefix.length)
  const abilities = v.att[resources[0]]
  shape(isObject(abilities) && Array.isArray(abilities['run/start']) && abilities['run/start'].length === 1 &&
    isObject(abilities['run/start'][0]), 'run/start')
  const tools = Object.keys(abilities).filter(k => k !== 'run/start').map(k => {
    shape(k.startsWith('tool/') && sorted(abilities[k]) === '[{}]', k)
    return k.slice(5)
  })
  const caveats = abilities['run/start'][0]
  const kinds = {
    approve_above: 'amounts', max_per_call: 'amounts', max_total: 'amounts', max_calls: 'number', max_depth: 'number', max_tokens: 'number',
    cnf: 'text', max_cost_usd: 'text', from: 'texts', hosts: 'texts', models: 'texts', recipients: 'texts', things: 'texts',
    approve_if_tainted: 'true', chains: 'numbers'
  }
  const number = n => Number.isSafeInteger(n) && n >= 0
  const text = s => typeof s === 'string' && /^[ -~]*$/.test(s) && !s.includes('\\') && !s.includes('"')
  const is = {
    true: x => x === true,
    number: n => number(n) && n > 0,
    text,
    numbers: l => Array.isArray(l) && l.length > 0 && l.every(number),
    texts: l => Array.isArray(l) && l.length > 0 && l.every(text),
    amounts: l => Array.isArray(l) && l.length > 0 && l.every(a => isObject(a) && Object.keys(a).join() === 'asset,decimals,units' &&
      text(a.asset) && number(a.decimals) && text(a.units))
  }
  for (const k of Object.keys(caveats)) shape(kinds[k] && is[kinds[k]](caveats[k]), k)
  want(sorted(v) === data.toString('latin1'), 'recap.canonical')
  const c = { approve_if_tainted: false, max_calls: 0, max_cost_usd: '0', max_depth: 0, max_tokens: 0, ...caveats }
  for (const k in kinds) if (kinds[k].endsWith('s')) c[k] ??= []
  validate(agent, tools, c)
  return { agent, tools, caveats: c, key: c.cnf === undefined ? undefined : keyOf(c.cnf) }
}

// validate checks the bounds of the caveats.
function validate (agent, tools, c) {
  const rule = (holds, what) => want(holds, 'caveats.range', what)
  want(/^[a-z][a-z0-9-]{0,31}$/.test(agent), 'agent.mismatch', 'the name')
  const rising = (list, key = x => x) => list.every((x, i) => i === 0 || key(list[i - 1]) < key(x))
  rule(tools.length <= 64 && tools.every(isTool) && rising(tools), 'tools')
  for (const k of ['max_total', 'max_per_call', 'approve_above']) {
    const list = c[k]
    rule(list.length === c.max_total.length && list.length <= 4 && rising(list, a => a.asset), k)
    rule(new Set(list.map(a => a.asset.toLowerCase())).size === list.length, k)
    list.forEach((a, i) => {
      rule(/^[A-Za-z0-9._-]{1,16}$/.test(a.asset) && a.decimals <= 36 && /^(0|[1-9]\d*)$/.test(a.units) && BigInt(a.units) < 1n << 256n, k)
      rule(a.asset === c.max_total[i].asset && a.decimals === c.max_total[i].decimals, k)
      rule(decimal(a.units, a.decimals).split('.')[0].length <= 15 && (k === 'approve_above' || a.units !== '0'), k)
      rule(k !== 'max_per_call' || BigInt(a.units) <= BigInt(c.max_total[i].units), k)
    })
  }
  for (const [k, least, most] of [['max_calls', 1, 1e5], ['max_tokens', 1, 1e9], ['max_depth', 0, 4]]) rule(c[k] >= least && c[k] <= most, k)
  // A double tells a nano-USD more or less there.
  rule(/^(0|[1-9]\d{0,6})(\.\d{0,8}[1-9])?$/.test(c.max_cost_usd) && c.max_cost_usd > 0 && c.max_cost_usd <= 1e6, 'max_cost_usd')
  rule(c.chains.length && c.chains.length <= 8 && c.chains.every(n => n > 0) && rising(c.chains), 'chains')
  rule(c.recipients.length <= 8 && c.recipients.every(isRecipient) && rising(c.recipients, a => a.toLowerCase()), 'recipients')
  for (const [k, is] of [['hosts', isHost], ['from', isSource], ['models', isModel], ['things', isThing]]) {
    rule(c[k].length <= 8 && c[k].every(is) && rising(c[k]), k)
  }
}

// sentence is what the wallet shows of the caveats.
export function sentence (r, until) {
  const c = r.caveats
  const when = new Date(Number(until / 1000000n)).toISOString().slice(0, 19).replace('T', ' ')
  let s = `Let agent ${r.agent} act for me on chain ${c.chains.join(' and ')} until ${when} UTC.`
  const to = c.recipients.length ? c.recipients.join(' or ') + ' only' : 'anyone'
  if (c.max_total.length === 0) {
    s += ' It may not spend anything.'
    if (c.recipients.length) s += ` Recipients: ${to}.`
  } else {
    s += ` It may spend at most ${c.max_total.map(amount).join(' and ')} in total and ${c.max_per_call.map(amount).join(' and ')} per call,` +
      ` to ${to}, and must ask me above ${c.approve_above.map(amount).join(' or ')},` +
      ' counting all that went without asking since it last asked me, to one recipient or in all.'
  }
  if (c.things.length) s += ` Of NFT collections it may give away only ${c.things.map(t => `token ${t.slice(50)} of ${t.slice(7, 49)}`).join(' or ')}.`
  if (c.approve_if_tainted) s += ' It must ask me before it spends on the word of untrusted content.'
  s += ` Limits: ${c.max_calls} tool calls, ${c.max_tokens} model tokens, ${c.max_cost_usd} USD model cost.`
  for (const [name, list] of [['Models', c.models], ['Web hosts', c.hosts]]) {
    s += ` ${name}: ${list.length ? list.join(', ') + ' only' : 'any that the operator allows'}.`
  }
  for (const page of [false, true]) {
    const list = c.from.filter(f => f.startsWith('http') === page).join(' or ')
    if (list) s += ` It may be used ${page ? 'by pages of' : 'from'} ${list} only.`
  }
  s += c.max_depth ? ` Sub-agents: at most ${c.max_depth} deep.` : ' No sub-agents.'
  for (const [who, kind] of [['wallet', 'wallet.'], ['account', 'mandate.']]) {
    if (r.tools.some(t => t.startsWith(kind))) s += ` It asks my own ${who} to send what tools named ${kind} do: that is my own money.`
  }
  if (r.key) s += ` Session key: ${fingerprint(r.key.did)}.`
  return s
}

const fingerprint = did => 'k-' + base32(sha256(did).subarray(0, 10), '0123456789ABCDEFGHJKMNPQRSTVWXYZ').match(/.{4}/g).join('-')

function statement (r, limits) {
  const on = `for '${agentPrefix}${r.agent}'.`
  let s = `${limits} I further authorize the stated URI to perform the following actions on my behalf: (1) 'run': 'start' ${on}`
  if (r.tools.length) s += ` (2) 'tool': ${r.tools.map(t => `'${t}'`).join(', ')} ${on}`
  return s
}

const isLink = s => {
  try { return CID.parse(s).version === 1 && CID.parse(s).toString() === s } catch { return false }
}
const linkOf = s => {
  want(s.startsWith('ipfs://') && isLink(s.slice(7)), 'resource.shape', s)
  return s.slice(7)
}

function isOrigin (scheme, domain) {
  if ((scheme !== 'https' && scheme !== 'http') || domain.includes('@') || domain.endsWith(':')) return false
  const [host, port] = authority(domain) ?? ['', '']
  if (port.startsWith('0') || port === (scheme === 'https' ? '443' : '80')) return false
  return domain[0] === '[' ? host === host.toLowerCase() : isHost(host)
}

// readGrant reads what a text permits. Nothing is said of who signed it.
export function readGrant (raw) {
  const m = parseMessage(raw)
  want(m.expires !== undefined, 'time.no_expiry')
  want(!isReserved(m.address), 'address.reserved')
  want(isOrigin(m.scheme, m.domain), 'domain.mismatch')
  want(m.requestId, 'request_id.mismatch')
  m.notBefore ??= m.issued
  want(m.expires > m.issued && m.expires > m.notBefore, 'time.order')
  want(m.expires - m.issued <= 24n * 3600n * 1000000000n, 'time.life')
  m.origin = `${m.scheme}://${m.domain}`
  const inRecap = m.uri === m.origin
  if (!inRecap) m.key = keyOf(m.uri)
  const list = m.resources ?? []
  const recaps = list.filter(r => r.startsWith('urn:recap:'))
  want(recaps.length > 0, 'recap.missing')
  want(recaps.length === 1, 'recap.count')
  want(list[list.length - 1] === recaps[0], 'recap.place')
  want(list.length === 3, 'resource.shape')
  m.agentCID = linkOf(list[0])
  m.rulesCID = linkOf(list[1])
  const r = parseRecap(recaps[0])
  want(inRecap === Boolean(r.key), 'key.form', 'the session key stands in one place')
  m.key ??= r.key
  Object.assign(m, { agent: r.agent, tools: r.tools, caveats: r.caveats })
  want(r.caveats.chains.includes(m.chain), 'chain.mismatch')
  const limits = sentence(r, m.expires)
  want(limits.length - r.agent.length + 32 <= 700, 'caveats.sentence')
  want(m.statement === statement(r, limits), 'statement.mismatch')
  return m
}

// openGrant reads a permission of the method eoa, and checks that its account signed it. In a record v is 27 or 28.
export function openGrant (raw, sig, recorded = true) {
  const g = readGrant(raw)
  want(!recorded || sig.length !== 65 || sig[64] >= 27, 'sig.v')
  want(recover(textHash(raw), sig) === g.address, 'sig.signer')
  return g
}

const SKEW = 60n * 1000000000n

// signIn is what a server checks of a text besides: auth/testdata/vectors/signin.json.
export function signIn (raw, sig, e) {
  const m = parseMessage(raw)
  want(['scheme', 'domain', 'uri', 'chain', 'nonce', 'request_id', 'account', 'agent', 'agent_cid', 'rules_cid', 'now']
    .every(k => e[k] !== undefined && e[k] !== '' && e[k] !== 0), 'expect.missing')
  want(m.scheme === e.scheme, 'scheme.mismatch')
  want(m.domain === e.domain, 'domain.mismatch')
  want(m.address.toLowerCase() === e.account.toLowerCase(), 'account.mismatch')
  want(m.uri === e.uri, 'uri.mismatch')
  want(m.chain === e.chain, 'chain.mismatch')
  want(m.nonce === e.nonce, 'nonce.mismatch')
  want((m.requestId ?? '') === e.request_id, 'request_id.mismatch')
  const g = readGrant(raw)
  want(g.key.did === (e.key || e.uri), 'uri.mismatch')
  want(g.agent === e.agent && g.agentCID === e.agent_cid, 'agent.mismatch')
  want(g.rulesCID === e.rules_cid, 'rules.mismatch')
  const now = timeOf(e.now)
  want(g.issued <= now + SKEW && g.issued >= now - 600n * 1000000000n - SKEW, 'time.issued')
  want(g.notBefore <= now + SKEW, 'time.early')
  want(now < g.expires, 'time.expired')
  return openGrant(raw, sig, false)
}

// grantCovers says whether a run could be opened at a time (ms).
export function grantCovers (g, opened) {
  const t = BigInt(opened) * 1000000n
  return t < g.expires && t >= g.issued - SKEW && t >= g.notBefore - SKEW
}

// ---- frames

export function frameBytes (session, channel, seq, method, params) {
  const n = Buffer.alloc(8)
  n.writeBigUInt64BE(BigInt(seq))
  return Buffer.concat(['writ/frame/1', session, channel, n, method, sha256(params)].flatMap(f => {
    const bytes = Buffer.from(f)
    const size = Buffer.alloc(4)
    size.writeUInt32BE(bytes.length)
    return [size, bytes]
  }))
}

// ---- approvals: EIP-712

const approvalFields = 'address account,string session,string run,string step,uint256 effect,string tool,bytes32 argsHash,string summary,' +
  'string asset,uint256 decimals,uint256 maxAmount,address recipient,uint256 notAfter,bytes32 nonce'

function hashStruct (name, fields, value) {
  const word = {
    address: v => Buffer.from(v.slice(2).padStart(64, '0'), 'hex'),
    bytes32: v => Buffer.from(v.slice(2), 'hex'),
    string: v => keccak(v),
    uint256: v => Buffer.from(BigInt(v).toString(16).padStart(64, '0'), 'hex')
  }
  return keccak(keccak(`${name}(${fields})`), ...fields.split(',').map(f => f.split(' ')).map(([t, n]) => word[t](value[n])))
}

// typedDigest is what a wallet signs of a message by its chain and salt: the domain's name is writ.
const typedDigest = (chainId, salt, name, fields, value) => keccak(Buffer.from([0x19, 1]), hashStruct('EIP712Domain',
  'string name,string version,uint256 chainId,bytes32 salt', { name: 'writ', version: '1', chainId, salt }), hashStruct(name, fields, value))

// approvalDigest is what a wallet signs for an approval.
export const approvalDigest = a => typedDigest(a.chainId, a.salt, 'ToolApproval', approvalFields, a)

const assertionFields = 'address operator,string run,string step,uint256 call,string outcome,bytes32 transaction,string reason,uint256 assertedAt'

// assertionDigest is what an operator's wallet signs for an assertion.
export function assertionDigest (a) {
  const hex = b => '0x' + Buffer.from(b).toString('hex')
  return typedDigest(a.chain, '0x' + '0'.repeat(64), 'Assertion', assertionFields, {
    operator: hex(a.by), run: a.run.toString(), step: a.step.toString(), call: a.of.i, outcome: a.as,
    transaction: hex(a.tx ?? Buffer.alloc(32)), reason: a.why ?? '', assertedAt: a.at / 1000
  })
}

export const saltOf = origin => '0x' + keccak(origin).toString('hex')

// readApproval reads the message of an approval in its one spelling.
export function readApproval (text) {
  const form = holds => want(holds, 'approval.form')
  let a
  try { a = JSON.parse(text) } catch { form(false) }
  form(isObject(a) && sorted(a) === text)
  form(Object.keys(a).join() === (approvalFields + ',uint256 chainId,bytes32 salt').split(',').map(f => f.split(' ')[1]).sort().join())
  const count = n => Number.isSafeInteger(n) && n >= 0
  form([a.session, a.run, a.step].every(isLink) && [a.account, a.recipient].every(isAddress))
  form([a.argsHash, a.nonce, a.salt].every(h => typeof h === 'string' && /^0x[0-9a-f]{64}$/.test(h)))
  form(count(a.chainId) && a.chainId > 0 && count(a.effect) && count(a.decimals) && count(a.notAfter) && a.notAfter > 0)
  form(typeof a.tool === 'string' && isTool(a.tool) && typeof a.summary === 'string' && /^[ -~]{1,1000}$/.test(a.summary))
  form(typeof a.asset === 'string' && typeof a.maxAmount === 'string' && /^(0|[1-9]\d*)$/.test(a.maxAmount) && BigInt(a.maxAmount) < 1n << 256n)
  form(a.asset === '' ? a.decimals === 0 && a.maxAmount === '0' : /^[A-Za-z0-9._-]{1,16}$/.test(a.asset) && a.decimals <= 36)
  return a
}

// approvalOf is what a wallet must sign for a seek: it follows from the record.
export function approvalOf (g, session, run, step, ref, seek, summary) {
  const s = JSON.parse(summary)
  const effect = Buffer.alloc(8)
  effect.writeBigUInt64BE(BigInt(ref.i))
  const spends = Boolean(s.units)
  return {
    account: g.address, argsHash: '0x' + sha256(rawMember(summary, 'args')).toString('hex'), asset: spends ? s.asset : '', chainId: g.chain,
    decimals: spends ? s.decimals ?? 0 : 0, effect: ref.i, maxAmount: spends ? s.units : '0',
    nonce: '0x' + sha256('writ/approval/1\n', step.bytes, effect).toString('hex'), notAfter: Math.floor(seek.until / 1000),
    recipient: spends ? checksum(s.to.slice(2)) : '0x' + '0'.repeat(40), run: run.toString(), salt: saltOf(g.origin),
    session: session.toString(), step: step.toString(), summary: s.text, tool: s.tool
  }
}

// rawMember returns the bytes of a member of an object in JSON that is known to be well-formed.
function rawMember (text, key) {
  let depth = 0
  let start = -1
  for (let i = 0; i < text.length; i++) {
    const c = text[i]
    if (c === '"') {
      const from = i
      for (i++; text[i] !== '"'; i++) if (text[i] === '\\') i++
      if (depth === 1 && start < 0 && text[i + 1] === ':' && text.slice(from + 1, i) === key) start = i + 2
    } else if (c === '{' || c === '[') depth++
    else if (c === '}' || c === ']') depth--
    if (start >= 0 && i >= start && ((depth === 1 && text[i + 1] === ',') || (depth === 1 && text[i + 1] === '}'))) return text.slice(start, i + 1)
  }
  throw new Wrong('approval.form', key)
}
