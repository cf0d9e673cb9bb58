// Audits files in the page of examples/auditor-page. Arguments: the page, the browser, the operator's key, the keys' file, and
// files of records. Prints, for each, what the page says.
import { chromium } from 'playwright-core'

const [url, executablePath, operator, keys, ...cars] = process.argv.slice(2)
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'] })
const page = await browser.newPage()
page.setDefaultTimeout(180_000) // the machine may be busy
const faults = []
page.on('console', (m) => { if (m.type() === 'error') faults.push(m.text()) })
page.on('pageerror', (e) => faults.push(String(e)))
await page.goto(url)
await page.locator('#operator').fill(operator)
const said = []
for (const car of cars) {
  await page.locator('#files').setInputFiles([car, keys])
  await page.getByRole('button', { name: 'Check it' }).click()
  await page.waitForFunction(() => /^(Done|The|an|the)/.test(document.querySelector('#state').textContent))
  said.push([await page.locator('#state').textContent(), await page.locator('#report').textContent()])
  await page.context().setOffline(true) // what is there by now is enough
}
console.log(JSON.stringify({ said, faults }))
await browser.close()
