// A person at the page of an example: signs in with the page's own wallet, asks, approves, is denied. Arguments: the page's
// address and the browser. Prints one JSON object.
import { chromium } from 'playwright-core'

const [url, executablePath] = process.argv.slice(2)
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'] })
const page = await browser.newPage()
page.setDefaultTimeout(120_000) // the machine may be busy
const faults = []
page.on('console', (m) => { if (m.type() === 'error') faults.push(m.text()) })
page.on('pageerror', (e) => faults.push(String(e)))
const out = {}
const talk = async () => {
  await page.goto(url)
  out.early = await page.getByRole('textbox', { name: 'Ask' }).isVisible() // before anybody has signed in
  await page.getByRole('button', { name: 'Sign in' }).click()
  const ask = async (text) => {
    await page.getByRole('textbox', { name: 'Ask' }).fill(text)
    await page.getByRole('textbox', { name: 'Ask' }).press('Enter')
  }
  const answer = (text) => page.getByRole('listitem').filter({ hasText: text }).last()
  await ask("what is alice's USDC balance?")
  await answer(/alice holds/).waitFor()
  out.balance = await answer(/alice holds/).innerText()
  await ask('send 5 USDC to bob')
  await page.getByRole('button', { name: 'Approve' }).click()
  await page.getByRole('button', { name: 'Approve' }).waitFor({ state: 'detached' })
  await answer(/block/).filter({ hasText: 'bob' }).waitFor()
  out.paid = await answer(/block/).filter({ hasText: 'bob' }).innerText()
  await ask('send 50 USDC to bob')
  await answer(/denied by the rule/).waitFor()
  out.denied = await answer(/denied by the rule/).innerText()
}
try { await talk() } catch (e) { // what the person saw says more than what was waited for
  console.error(faults, await page.locator('body').innerText().catch(() => 'the page is gone'))
  throw e
}
console.log(JSON.stringify({ ...out, faults }))
await browser.close()
