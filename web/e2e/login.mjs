// Signs in on the page of `writ login --browser` in a real Chromium. Arguments: the page's address, what the user does
// (sign, decline, none, again, reload), the browser's path, and a file for a picture, if one is wanted. Prints what the page
// says at the end, as JSON.
import assert from 'node:assert/strict'
import { chromium } from 'playwright-core'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'

const [url, does, executablePath, picture] = process.argv.slice(2)
const account = privateKeyToAccount(process.env.WRIT_E2E_KEY ?? generatePrivateKey())
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
const page = await browser.newPage({ viewport: { width: 900, height: 760 }, colorScheme: picture?.includes('dark') ? 'dark' : 'light' })
const faults = []
page.on('console', (m) => m.type() === 'error' && !m.text().includes('status of 4') && faults.push(m.text()))
page.on('pageerror', (e) => faults.push(String(e)))

// The wallet: a viem account behind an EIP-6963 announcement.
await page.exposeFunction('walletRequest', async ({ method, params }) => {
  if (method === 'eth_requestAccounts') return { result: [account.address] }
  if (method === 'personal_sign') {
    if (does === 'decline') return { error: { code: 4001, message: 'User rejected the request.' } }
    assert.equal(params[1], account.address)
    return { result: await account.signMessage({ message: { raw: params[0] } }) }
  }
  return { error: { code: 4200, message: `${method} is not supported` } }
})
if (does !== 'none') {
  await page.addInitScript(() => {
    const provider = {
      request: async (r) => {
        const { result, error } = await window.walletRequest(r)
        if (error) throw Object.assign(new Error(error.message), { code: error.code })
        return result
      },
    }
    const announce = () => dispatchEvent(new CustomEvent('eip6963:announceProvider', {
      detail: Object.freeze({ info: { uuid: crypto.randomUUID(), name: 'Test wallet', icon: 'data:,', rdns: 'test.wallet' }, provider }),
    }))
    addEventListener('eip6963:requestProvider', announce)
    announce()
  })
}

await page.goto(url)
if (url.startsWith('file:')) await page.waitForURL(/^http:\/\/127\.0\.0\.1:\d+\/$/) // it leads there
assert.equal(await page.evaluate(() => location.hash), '', 'the code stays on the screen')
const status = page.locator('#status')
const out = { account: account.address }
if (does === 'none') {
  await page.getByText('No wallet was found').waitFor()
} else {
  if (does === 'reload') await page.reload() // and once before a wallet is chosen
  await page.getByRole('button', { name: 'Test wallet' }).click()
  await page.locator('#text').waitFor({ state: 'attached' })
  await page.getByRole('button', { name: 'Sign in the wallet' }).waitFor()
  out.limits = await page.locator('#limits').textContent()
  out.text = await page.locator('#text').textContent()
  if (picture) await page.screenshot({ path: picture })
  if (does === 'again') { // the same address in another tab
    const other = await browser.newPage()
    await other.exposeFunction('walletRequest', async () => ({ result: [account.address] }))
    await other.addInitScript(() => { window.ethereum = { request: async (r) => (await window.walletRequest(r)).result } })
    await other.goto(url)
    await other.getByRole('button', { name: 'Browser wallet' }).click()
    await other.locator('#status.bad').waitFor()
    out.second = await other.locator('#status').textContent()
    await other.close()
  }
  if (does === 'reload') { // once with what is to be signed on the screen
    await page.reload()
    await page.getByRole('button', { name: 'Test wallet' }).click()
    await page.getByRole('button', { name: 'Sign in the wallet' }).waitFor()
    assert.equal(await page.locator('#text').textContent(), out.text, 'another text after the reload')
  }
  await page.getByRole('button', { name: 'Sign in the wallet' }).click()
}
if (does === 'decline') {
  await page.locator('#status.bad').waitFor()
  out.declined = await status.textContent()
}
if (does === 'decline' || does === 'none') {
  await page.getByRole('button', { name: 'Cancel' }).click()
  await page.getByText('Cancelled.').waitFor()
} else {
  await page.locator('#status.good').waitFor()
}
assert.equal(await page.evaluate(() => sessionStorage.length), 0, 'the page keeps something')
out.status = await status.textContent()
out.faults = faults
await browser.close()
console.log(JSON.stringify(out))
