// The JSON of arguments and of requests, as docs/record.md has it: read strictly, and written in its one spelling.
import { want, Wrong } from './signed.mjs'

const maxBytes = 16 * 1024 // of arguments
const maxLevels = 32
const maxDigits = 80
const maxPlaces = 307

function number (written) {
  const m = /^(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/.exec(written)
  if (!m) throw new Wrong('arguments', `${written} is no number`)
  const all = m[2] + (m[3] ?? '')
  const lead = all.length - all.replace(/^0+/, '').length
  const digits = all.replace(/^0+/, '').replace(/0+$/, '')
  if (digits === '') return '0'
  const point = m[2].length - lead + Number(m[4] ?? 0) // places of the point from the first digit
  if (digits.length > maxDigits || point - 1 > maxPlaces || point - 1 < -maxPlaces) throw new Wrong('arguments', 'a number is out of range')
  const n = digits.length
  if (point >= n && point <= maxDigits) return m[1] + digits + '0'.repeat(point - n)
  if (point > 0 && point < n) return m[1] + digits.slice(0, point) + '.' + digits.slice(point)
  if (point > -6 && point <= 0) return m[1] + '0.' + '0'.repeat(-point) + digits
  return m[1] + digits[0] + (n > 1 ? '.' + digits.slice(1) : '') + 'e' + (point > 0 ? '+' : '') + (point - 1)
}

const text = s => {
  if (!s.isWellFormed()) throw new Wrong('arguments', 'a text has half a surrogate pair')
  return JSON.stringify(s)
}

// read returns the members of the value that bytes are, if it is an object, and its one spelling. Each member has its own.
export function read (bytes, limit = maxBytes) {
  const fail = why => { throw new Wrong('arguments', why) }
  if (bytes.length > limit) fail(`more than ${limit} bytes`)
  let s
  try { s = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes) } catch { fail('not UTF-8') }
  let at = 0
  const space = () => { while (' \t\n\r'.includes(s[at] ?? '.')) at++ }
  const take = re => {
    re.lastIndex = at
    const m = re.exec(s)
    if (m) at = re.lastIndex
    return m?.[0]
  }
  const string = () => {
    const raw = take(/"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y)
    if (raw === undefined) fail('a text was expected')
    return JSON.parse(raw)
  }
  const list = (end, each) => {
    at++
    space()
    if (s[at] === end) { at++; return }
    for (;;) {
      each()
      space()
      if (s[at] === end) { at++; return }
      if (s[at++] !== ',') fail('a comma or the end was expected')
      space()
    }
  }
  const value = depth => {
    if (depth > maxLevels) fail(`more than ${maxLevels} levels`)
    space()
    if (s[at] === '"') return { spelled: text(string()) }
    if (s[at] === '[') {
      const items = []
      list(']', () => items.push(value(depth + 1).spelled))
      return { spelled: `[${items.join()}]` }
    }
    if (s[at] === '{') {
      const members = new Map()
      list('}', () => {
        const key = string()
        if (members.has(key)) fail('a key stands twice')
        space()
        if (s[at++] !== ':') fail('a colon was expected')
        members.set(key, value(depth + 1).spelled)
      })
      const keys = [...members.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      return { members, spelled: `{${keys.map(k => text(k) + ':' + members.get(k)).join()}}` }
    }
    const written = take(/-?[0-9][0-9.eE+-]*/y)
    if (written !== undefined) return { spelled: number(written) }
    const word = take(/true|false|null/y)
    if (word === undefined) fail('a value was expected')
    return { spelled: word }
  }
  const v = value(0)
  space()
  if (at !== s.length) fail('something follows the value')
  return v
}

// canonical returns the one spelling of arguments.
export const canonical = bytes => read(bytes).spelled

const is = form => v => typeof v === 'string' && form.test(v)
const name = is(/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$/)
const words = v => typeof v === 'string' && Buffer.from(v).length <= 65536
const any = () => true // what it says is for the loop, for record.mjs, or for files.mjs
const both = { idempotency_key: is(/^[A-Za-z0-9._:-]{8,64}$/), attach: any }

// checkRequest says what is wrong with the params of run.start, run.delegate, run.fork or run.send, and returns them.
export function checkRequest (bytes, method) {
  const { members } = read(bytes, 1 << 20)
  const sent = method === 'run.send'
  const holds = (is, why) => want(is, sent ? 'decisions.event' : 'grant.request', `the request ${why}`)
  holds(members, 'is no object')
  const form = sent ? { ...both, text: words, run: any, of: any } : { ...both, agent: name, input: words, answer_schema: any, client_tools: any }
  if (method === 'run.fork') form.step = is(/^bafy[a-z2-7]{55}$/)
  else if (!sent) form.thread = name
  for (const key of ['agent', 'idempotency_key', 'input', 'step', 'text']) holds(!form[key] || members.has(key), `has no ${key}`)
  for (const [key, spelled] of members) holds(Object.hasOwn(form, key) && form[key](JSON.parse(spelled)), `has a key ${key}, or not in its form`)
  return Object.fromEntries([...members].map(([k, v]) => [k, JSON.parse(v)]))
}
