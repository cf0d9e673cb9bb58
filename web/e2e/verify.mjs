// Reads records by /verify of the SDK. Arguments: "vectors" and their folder: prints what it and the second reader, from which it
// is built with other parts, say of each, as a list, with the log's key where a vector is of the log. Or "page", the browser and files: prints how long a page's worker took of
// each, in ms, the best of three, and what it found.
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const [what, ...args] = process.argv.slice(2)
const sdk = new URL('../sdk/dist/', import.meta.url)

const vectors = async (folder) => {
  const { verify } = await import(new URL('verify.js', sdk))
  const { readRecord } = await import('../reader/record.mjs')
  const list = JSON.parse(readFileSync(join(folder, 'vectors.json')))
  const said = []
  for (const v of list.vectors) {
    const car = new Uint8Array(readFileSync(join(folder, v.file)))
    const keyFile = v.keys && readFileSync(join(folder, v.keys), 'utf8')
    const reader = await (async () => readRecord(car, JSON.parse(keyFile ?? '{}').keys ?? {}, list.operator_key))().catch((e) => ({ ok: false, error: e.message }))
    said.push({ name: v.name, code: v.code, sdk: await verify(car, { keys: keyFile, operatorKey: list.operator_key }), reader })
  }
  for (const v of JSON.parse(readFileSync(join(folder, 'log-vectors.json'))).vectors.filter((v) => v.file)) {
    const text = (name) => readFileSync(join(folder, name), 'utf8')
    const car = new Uint8Array(readFileSync(join(folder, v.file)))
    const logKey = text(v.policy ?? 'log.policy').split('\n')[0].replace('log ', ''), receipts = (v.receipts ?? []).map(text)
    const reader = await readRecord(car, {}, undefined, logKey, receipts).catch((e) => ({ ok: false, error: e.message }))
    said.push({ name: v.name, code: v.code, sdk: await verify(car, { logKey, receipts }), reader })
  }
  const mine = await import(new URL('curves.js', sdk)), other = await import('../reader/k1.mjs')
  said.push(...(await signatures(mine, other)))
  const { keccak256 } = mine, theirs = other.keccak256
  for (let n = 0; n < 300; n++) {
    const text = Uint8Array.from({ length: n }, (_, i) => 7 * i + n)
    said.push({ name: `Keccak-256 of ${n} bytes`, sdk: { hash: Buffer.from(keccak256(text)).toString('hex') }, reader: { hash: Buffer.from(theirs(text)).toString('hex') } })
  }
  return said
}

// Signatures of which the two must say the same: good ones of many keys, each with a bit turned in every part, those with the
// greater s, and those at the edges, among them one whose key would be the point at infinity.
const signatures = async (mine, other) => {
  const { privateKeyToAccount, sign } = await import('viem/accounts')
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
  const bytes = (n) => new Uint8Array(Buffer.from(n.toString(16).padStart(64, '0'), 'hex'))
  const hex = (b) => '0x' + Buffer.from(b).toString('hex')
  const random = (n) => new Uint8Array(createHash('sha256').update(`${n}`).digest())
  const turned = (b, n) => b.map((x, i) => (i === (n >> 3) % b.length ? x ^ (1 << (n & 7)) : x))
  const all = []
  for (let n = 0; n < 60; n++) {
    const privateKey = hex(random(n)), digest = random(`digest ${n}`)
    const { r, s, yParity } = await sign({ hash: hex(digest), privateKey })
    const xy = Buffer.from(privateKeyToAccount(privateKey).publicKey.slice(2), 'hex')
    const key = Uint8Array.of(2 + (xy[64] & 1), ...xy.subarray(1, 33))
    const rs = new Uint8Array([...bytes(BigInt(r)), ...bytes(BigInt(s))])
    const bit = random(`bit ${n}`)[0]
    all.push([digest, rs, yParity, key, 'good'], [digest, rs, 1 - yParity, key], [turned(digest, bit), rs, yParity, key],
      [digest, turned(rs, bit), yParity, key], [digest, turned(rs, 256 + bit), yParity, key], [digest, rs, yParity, turned(key, bit + 8)],
      [digest, new Uint8Array([...bytes(BigInt(r)), ...bytes(order - BigInt(s))]), 1 - yParity, key])
  }
  const [digest, rs, , key] = all[0], gx = 0x79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798n
  const z = BigInt(hex(digest)) % order
  for (const a of [0n, 1n, 5n, gx, order - 1n, order, 2n ** 256n - 1n]) for (const b of [0n, 1n, z, order - 1n, order, 2n ** 256n - 1n])
    for (const d of [digest, bytes(0n), bytes(order), bytes(2n ** 256n - 1n)]) for (const odd of [0, 1])
      all.push([d, new Uint8Array([...bytes(a), ...bytes(b)]), odd, key])
  for (const k of [new Uint8Array(33), Uint8Array.of(2, ...bytes(2n ** 256n - 1n)), Uint8Array.of(5, ...key.subarray(1))]) all.push([digest, rs, 0, k])
  const attempt = (f) => { try { return f() } catch { return 'none' } }
  return all.map(([digest, rs, odd, key, good], i) => {
    const says = (of) => [attempt(() => hex(of.recoverKey(digest, rs, odd))), of.verifyKey(digest, rs, key)].join()
    const it = says(mine)
    if (good && !it.endsWith(',true')) throw new Error(`signature ${i} is good, and is not taken`)
    return { name: `signature ${i}`, sdk: { hash: it }, reader: { hash: says(other) } }
  })
}

const worker = `import { verify } from './verify.js'
self.onmessage = async ({ data: [car, keys] }) => {
  let best = Infinity, found
  for (let i = 0; i < 3; i++) {
    const from = performance.now()
    found = await verify(car, { keys })
    best = Math.min(best, performance.now() - from)
  }
  self.postMessage({ ms: best, found })
}`

const inPage = async (executablePath, ...files) => {
  const { chromium } = await import('playwright-core')
  const served = new Map([['/', ['text/html', '<!doctype html><title>verify</title>']], ['/worker.js', ['text/javascript', worker]]])
  for (const name of ['verify.js', 'curves.js', 'files.js']) served.set('/' + name, ['text/javascript', readFileSync(new URL(name, sdk))])
  files.forEach((f, i) => served.set(`/${i}`, ['application/octet-stream', readFileSync(f)]))
  const server = createServer((q, r) => {
    const [type, body] = served.get(q.url) ?? []
    if (!type) return r.writeHead(404).end()
    r.writeHead(200, { 'content-type': type, 'content-security-policy': "default-src 'none'; script-src 'self'; connect-src 'self'" }).end(body)
  })
  await new Promise((ok) => server.listen(0, '127.0.0.1', ok))
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'] })
  const page = await browser.newPage()
  await page.goto(`http://127.0.0.1:${server.address().port}/`)
  const said = await page.evaluate(async (n) => {
    const out = []
    for (let i = 0; i < n; i += 2) {
      const car = new Uint8Array(await (await fetch(`/${i}`)).arrayBuffer()), keys = await (await fetch(`/${i + 1}`)).text()
      const w = new Worker('worker.js', { type: 'module' })
      out.push(await new Promise((ok, no) => {
        w.onmessage = (m) => ok(m.data)
        w.onerror = (e) => no(new Error(e.message))
        w.postMessage([car, keys])
      }))
    }
    return out
  }, files.length)
  await browser.close()
  server.close()
  return said
}

console.log(JSON.stringify(await { vectors, page: inPage }[what](...args)))
