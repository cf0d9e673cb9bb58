// Audits files in the console's page. Arguments: a server with the auditor, one without, the browser, the operator's key, the
// keys' file, a record, and the same with a bit flipped. Prints true when the auditor is loaded; when a line is read, the first
// server is gone. Then prints what the page says of each file.
import { createInterface } from 'node:readline'
import { basename } from 'node:path'
import { chromium } from 'playwright-core'
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'

const [url, without, executablePath, operator, keys, good, flipped] = process.argv.slice(2)
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const lines = createInterface({ input: process.stdin })
const gone = new Promise((ok) => lines.once('line', ok))
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'] })
const out = { said: [], without: '', faults: [], axe: [], foreign: [] }

const open = async (server, watch) => {
  const page = await (await browser.newContext()).newPage()
  page.setDefaultTimeout(180_000) // the machine may be busy
  if (watch) {
    page.on('console', (m) => { if (m.type() === 'error') out.faults.push(m.text()) })
    page.on('pageerror', (e) => out.faults.push(String(e)))
    page.on('request', (r) => { if (!r.url().startsWith(server)) out.foreign.push(r.url()) })
  }
  await page.goto(server + '/#check')
  await page.locator('input.mono').fill(operator)
  return page
}
const audit = async (page, car) => {
  await page.locator('input[type=file]').setInputFiles([car, keys])
  await page.getByText(basename(car) + ',').waitFor()
  await page.getByRole('button', { name: 'Make every decision again' }).click()
}
const result = async (page) => {
  const at = page.getByRole('region', { name: 'What the auditor says' })
  await at.waitFor()
  return [/end with (\d+)/.exec(await at.innerText())[1], await at.locator('pre').textContent()]
}

const page = await open(url, true)
await audit(page, good)
out.said.push(await result(page))
await page.evaluate(axe)
out.axe = await page.evaluate(async () => (await globalThis.axe.run()).violations.map((v) => v.id))
console.log('true')
await gone
const before = out.faults.length // the page asks its server again and again, which the browser tells
for (const car of [flipped, good]) {
  await audit(page, car)
  out.said.push(await result(page))
}
out.faults.length = before

const other = await open(without, false)
await audit(other, good)
await other.getByRole('alert').waitFor()
out.without = await other.getByRole('alert').innerText()
console.log(JSON.stringify(out))
lines.close()
await browser.close()
