// Opens the page of examples/walletconnect with no network. Arguments: browser, and the folder of the page.
import { createServer } from 'node:http'
import { readFileSync } from 'node:fs'
import { join, normalize } from 'node:path'
import { chromium } from 'playwright-core'

const [executablePath, folder] = process.argv.slice(2)
const types = { html: 'text/html', js: 'text/javascript' }
const server = createServer((q, r) => {
  const path = normalize(q.url.split('?')[0])
  if (path === '/writ.json') return r.end('{"server":"http://127.0.0.1:1","chain":1337}')
  const name = path === '/' ? 'index.html' : path.slice(1)
  try {
    r.writeHead(200, { 'content-type': types[name.split('.').at(-1)] ?? 'text/plain' }).end(readFileSync(join(folder, name)))
  } catch {
    r.writeHead(404).end()
  }
})
await new Promise((ok) => server.listen(0, '127.0.0.1', ok))
const at = `http://127.0.0.1:${server.address().port}/`
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'] })
const page = await browser.newPage()
page.setDefaultTimeout(60_000)
const asked = new Set(), faults = []
page.on('request', (r) => { const { host } = new URL(r.url()); if (host && !host.startsWith('127.0.0.1')) asked.add(host) })
page.on('pageerror', (e) => faults.push(String(e)))
await page.goto(at)
await page.getByText('needs a project').waitFor()
const without = await page.locator('#says').innerText(), askedWithout = asked.size
await page.goto(at + '?project=' + '0'.repeat(32))
await page.getByRole('button', { name: 'Connect a wallet' }).click()
await page.getByText('WalletConnect', { exact: true }).first().waitFor()
const window = await page.getByText('WalletConnect', { exact: true }).first().innerText()
await page.getByText('WalletConnect', { exact: true }).first().click()
await page.waitForTimeout(4000)
if (process.argv[4]) await page.screenshot({ path: process.argv[4] })
console.log(JSON.stringify({ without, askedWithout, window, asked: [...asked].sort(), faults }))
await browser.close()
server.close()
