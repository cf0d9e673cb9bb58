// A person at the page of docs/dapp.md. Arguments: the page's address, the browser, and the folder for the proof of the
// order. Prints one JSON object.
import { chromium } from 'playwright-core'

const [url, executablePath, folder] = process.argv.slice(2)
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'] })
const page = await browser.newPage()
page.setDefaultTimeout(120_000) // the machine may be busy
const faults = []
page.on('console', (m) => { if (m.type() === 'error' && !m.location().url.endsWith('/favicon.ico')) faults.push(m.text()) })
page.on('pageerror', (e) => faults.push(String(e)))
await page.goto(url)
await page.getByRole('button', { name: 'Sign in' }).click()
const items = page.getByRole('listitem')
const ask = async (text) => {
  await page.getByRole('textbox', { name: 'Ask' }).fill(text)
  await page.getByRole('textbox', { name: 'Ask' }).press('Enter')
}
const told = async (text) => {
  await items.filter({ hasText: text }).last().waitFor()
  return items.filter({ hasText: text }).last().innerText()
}
const out = { signed: await told(/10 tool calls/) }
await ask('show the menu')
out.menu = await told(/espresso/)
await ask('order a latte for Ann')
out.asked = await told(/Approve/)
await page.getByRole('button', { name: 'Approve' }).click()
out.ordered = await told(/status 201/)
const ordered = items.filter({ hasText: /status 201/ }).last()
await ordered.getByRole('button', { name: 'Proof' }).click()
for (const name of ['run.car', 'run.keys.json', 'run.tlog-proof']) {
  const saved = page.waitForEvent('download')
  await ordered.getByRole('link', { name }).click()
  await (await saved).saveAs(`${folder}/${name}`)
}
await ask('order a tea for Bob')
await page.getByRole('button', { name: 'Refuse' }).click()
await items.nth(3).filter({ hasNotText: 'Approve' }).waitFor() // after what was signed, the menu and the order
out.refused = await items.nth(3).innerText()
console.log(JSON.stringify({ ...out, faults }))
await browser.close()
