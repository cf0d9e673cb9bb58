// Runs the public vectors through the npm packages siwe and viem and prints what each says, as JSON:
// {"versions": {...}, "verdicts": {"FILE": {"NAME": {"siwe": "...", "viem": "..."}}}}.
// go test ./internal/e2e reads it. The argument is the folder of the vectors.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { SiweMessage } from 'siwe'
import { parseSiweMessage, validateSiweMessage } from 'viem/siwe'
import { verifyMessage } from 'viem'

console.error = () => {} // siwe prints what it then throws
const dir = process.argv[2]
const version = (name) => JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version

// Texts are strings in JavaScript: bytes that are not UTF-8 become U+FFFD before any library sees them.
const fill = (s, v) => (v.fill && s.includes(v.fill.mark) ? s.replace(v.fill.mark, () => v.fill.with.repeat(v.fill.count)) : s)
const text = (v) => fill(v.raw_hex ? Buffer.from(v.raw_hex, 'hex').toString('utf8') : (v.raw ?? ''), v)

const said = async (f) => {
  try {
    return await f()
  } catch {
    return 'refuses'
  }
}

const parsers = {
  siwe: (raw) => (new SiweMessage(raw).prepareMessage() === raw ? 'accepts' : 'accepts, and writes it otherwise'),
  // viem has no parser that refuses: what a site can go by is parse and then validate.
  viem: (raw) => (validateSiweMessage({ message: parseSiweMessage(raw), time: new Date('2026-11-23T12:30:00Z') }) ? 'accepts' : 'refuses'),
}

const verifiers = {
  siwe: async (raw, sig, e) => {
    const { success } = await new SiweMessage(raw).verify(
      { signature: sig, scheme: e.scheme, domain: e.domain, nonce: e.nonce, time: e.now }, { suppressExceptions: true })
    return success ? 'accepts' : 'refuses'
  },
  // verifySiweMessage without its chain: accounts with a key need none.
  viem: async (raw, sig, e) => {
    const message = parseSiweMessage(raw)
    const fits = validateSiweMessage({ message, address: e.account, scheme: e.scheme, domain: e.domain, nonce: e.nonce, time: new Date(e.now) })
    return fits && (await verifyMessage({ address: message.address, message: raw, signature: sig })) ? 'accepts' : 'refuses'
  },
}

const verdicts = {}
for (const file of ['parse.json', 'signature.json', 'signin.json']) {
  verdicts[file] = {}
  for (const v of JSON.parse(readFileSync(join(dir, file), 'utf8'))) {
    const raw = text(v)
    const of = {}
    for (const name of ['siwe', 'viem']) {
      if (name === 'siwe' && raw.length > 500_000) {
        of[name] = 'not asked: it reads for seconds'
        continue
      }
      of[name] = await said(() =>
        file === 'parse.json' ? parsers[name](raw) : verifiers[name](raw, fill(v.signature, v), v.expect))
    }
    verdicts[file][v.name] = of
  }
}
console.log(JSON.stringify({ versions: { siwe: version('siwe'), viem: version('viem') }, verdicts }))
