// The console has a smart account make a deposit, two calls by one transaction: the page goes away before the wallet says what
// became of its batch, and another asks for that and for no second deposit. Then a batch that fails may be sent again.
// Arguments: server, chain's URL, browser, key of the account.
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import { chromium } from 'playwright-core'
import { createPublicClient, createWalletClient, http, parseAbi } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { encodeExecuteData } from 'viem/experimental/erc7821'

const [url, chainURL, executablePath, key] = process.argv.slice(2)
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const account = privateKeyToAccount(key)
const chain = { id: 1337, name: 'dev', nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 }, rpcUrls: { default: { http: [chainURL] } } }
const sender = createWalletClient({ account, chain, transport: http(chainURL) })
const reader = createPublicClient({ chain, transport: http(chainURL) })
const out = { faults: [], axe: [], asked: [], got: {} }
const wallet = { silent: true, fails: false, hashes: [] }
const methods = {
  eth_requestAccounts: () => [account.address], eth_accounts: () => [account.address], eth_chainId: () => '0x539',
  personal_sign: ([message]) => account.signMessage({ message: { raw: message } }),
  wallet_getCapabilities: () => ({ '0x539': { atomic: { status: 'supported' } } }),
  wallet_sendCalls: async ([{ calls }]) => {
    if (wallet.fails) return { id: 'failed' }
    const data = encodeExecuteData({ calls: calls.map((c) => ({ ...c, value: BigInt(c.value) })) })
    wallet.token = calls[0].to
    wallet.later = () => sender.sendTransaction({ to: account.address, data })
    return { id: 'one' }
  },
  wallet_getCallsStatus: ([id]) => {
    if (id === 'failed') return { status: 400 }
    return wallet.silent ? { status: 100 } : { status: 200, receipts: wallet.hashes.map((transactionHash) => ({ transactionHash })) }
  },
}

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'] })
const page = await (await browser.newContext()).newPage()
page.setDefaultTimeout(60_000)
page.on('console', (m) => { if (m.type() === 'error') out.faults.push(m.text()) })
page.on('pageerror', (e) => out.faults.push(String(e)))
await page.exposeFunction('__wallet', async ({ method, params = [] }) => {
  if (/send/i.test(method)) out.asked.push(method)
  if (!methods[method]) return { code: 4200, message: `no ${method}` }
  try { return { ok: await methods[method](params) } } catch (e) { return { code: -32000, message: e.message } }
})
await page.addInitScript(() => {
  const request = async (r) => {
    const a = await window.__wallet(r)
    if ('ok' in a) return a.ok
    throw Object.assign(new Error(a.message), { code: a.code })
  }
  const detail = Object.freeze({ info: { uuid: 'test', name: 'Test Wallet', icon: '', rdns: 'test' }, provider: { request } })
  window.addEventListener('eip6963:requestProvider', () => window.dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail })))
})
const ask = async (text) => {
  await page.getByPlaceholder(/^Ask /).fill(text)
  await page.keyboard.press('Enter')
}
const payIt = () => page.getByRole('button', { name: 'Pay with your wallet' })
const askIt = () => page.getByRole('button', { name: 'Ask your wallet what became of it' })

await page.goto(url)
await page.getByRole('button', { name: 'payer', exact: true }).click()
await page.getByRole('button', { name: 'Test Wallet' }).click()
await page.getByRole('button', { name: 'Sign with Test Wallet' }).click()
await ask('deposit 2 for alice')
await payIt().click()
await page.getByText('has it as a batch').waitFor()
await page.reload()
await askIt().waitFor()
out.got.offered = await payIt().count() // which would be a second deposit
await page.locator('section.wait summary').click()
out.got.parts = await page.locator('section.wait dt', { hasText: /^Call \d/ }).count()
for (const width of [1440, 390]) {
  await page.setViewportSize({ width, height: 844 })
  await page.evaluate(axe)
  out.axe.push(...await page.evaluate(async () => (await window.axe.run(document, { resultTypes: ['violations'] })).violations.map((v) => v.id)))
  if (await page.evaluate(() => document.documentElement.scrollWidth) > width) out.axe.push(`it is wider than ${width}`)
}
wallet.hashes.push(await wallet.later())
wallet.silent = false
await askIt().click()
await page.locator('section.wait').waitFor({ state: 'detached' }) // the run has gone on
const balance = () => reader.readContract({ address: wallet.token, abi: parseAbi(['function balanceOf(address) view returns (uint256)']), functionName: 'balanceOf', args: [account.address] })
out.got.left = String(await balance())

await ask('deposit 1 for alice')
wallet.fails = true
await payIt().click()
await page.getByText('Your wallet has not sent it').waitFor()
await payIt().waitFor()
console.log(JSON.stringify(out))
await browser.close()
