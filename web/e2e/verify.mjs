// Reads records by /verify of the SDK. Arguments: "vectors" and their folder: prints what it and the second reader, from which it
// is built with other parts, say of each, as a list, with the log's key where a vector is of the log. Or "page", the browser and files: prints how long a page's worker took of
// each, in ms, the best of three, and what it found.
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
  const { keccak256 } = await import(new URL('curves.js', sdk)), theirs = (await import('../reader/k1.mjs')).keccak256
  for (let n = 0; n < 300; n++) {
    const text = Uint8Array.from({ length: n }, (_, i) => 7 * i + n)
    said.push({ name: `Keccak-256 of ${n} bytes`, sdk: { hash: Buffer.from(keccak256(text)).toString('hex') }, reader: { hash: Buffer.from(theirs(text)).toString('hex') } })
  }
  return said
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
  for (const name of ['verify.js', 'curves.js']) served.set('/' + name, ['text/javascript', readFileSync(new URL(name, sdk))])
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
