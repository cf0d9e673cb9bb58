// Approves one call on the page of `writ approve --browser` in a real Chromium. Arguments: the page's address, what the
// user does (sign, decline), the browser's path, and a file for a picture, if one is wanted. WRIT_E2E_KEY is the wallet's
// key. The wallet is on another chain and has another account chosen at first, as wallets are. Prints what the page says,
// as JSON.
import assert from 'node:assert/strict'
import { chromium } from 'playwright-core'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'

const [url, does, executablePath, picture] = process.argv.slice(2)
const account = privateKeyToAccount(process.env.WRIT_E2E_KEY)
const stranger = privateKeyToAccount(generatePrivateKey())
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
const page = await browser.newPage({ viewport: { width: 900, height: 900 }, colorScheme: picture?.includes('dark') ? 'dark' : 'light' })
const faults = []
page.on('console', (m) => m.type() === 'error' && !m.text().includes('status of 4') && faults.push(m.text()))
page.on('pageerror', (e) => faults.push(String(e)))

let chosen = stranger.address
let chain = '0x1'
let typed
await page.exposeFunction('walletRequest', async ({ method, params }) => {
  if (method === 'eth_requestAccounts') return { result: [chosen] }
  if (method === 'eth_chainId') return { result: chain }
  if (method === 'wallet_switchEthereumChain') {
    chain = params[0].chainId
    return { result: null }
  }
  if (method === 'eth_signTypedData_v4') {
    if (does === 'decline') return { error: { code: 4001, message: 'User rejected the request.' } }
    typed = JSON.parse(params[1])
    if (BigInt(chain) !== BigInt(typed.domain.chainId)) return { error: { code: -32603, message: 'Provided chainId must match the active chainId' } }
    assert.equal(params[0], account.address)
    return { result: await account.signTypedData(typed) }
  }
  return { error: { code: 4200, message: `${method} is not supported` } }
})
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

await page.goto(url)
assert.equal(await page.evaluate(() => location.hash), '', 'the code stays on the screen')
const status = page.locator('#status')
const out = {}
await page.getByRole('button', { name: 'Test wallet' }).first().click()
await page.locator('#status.bad').waitFor()
out.other = await status.textContent() // the wrong account costs nothing
chosen = account.address
await page.getByRole('button', { name: 'Test wallet' }).first().click()
await page.getByRole('button', { name: 'Approve in the wallet' }).waitFor()
out.rows = await page.locator('#rows').innerText()
out.text = await page.locator('#text').textContent()
if (picture) await page.screenshot({ path: picture })
await page.getByRole('button', { name: 'Approve in the wallet' }).click()
if (does === 'decline') {
  await page.locator('#status.bad').waitFor()
  out.declined = await status.textContent()
  await page.getByRole('button', { name: 'Cancel' }).click()
  await page.getByText('Cancelled.').waitFor()
} else {
  await page.locator('#status.good').waitFor()
}
out.status = await status.textContent()
out.typed = typed
out.faults = faults
await browser.close()
console.log(JSON.stringify(out))
