// The console has the user's own wallet pay: it rejects, it pays after the page was loaded again, it speeds a payment up, and a run
// that it refuses to pay for is stopped. Arguments: server, chain's URL, browser, key of the account, number of the chain, and a folder for pictures if they are wanted.
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import { chromium } from 'playwright-core'
import { createPublicClient, createTestClient, createWalletClient, http } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'

const [url, chainURL, executablePath, key, number, pictures] = process.argv.slice(2)
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const account = privateKeyToAccount(key)
const chain = { id: Number(number), name: 'test', nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 }, rpcUrls: { default: { http: [chainURL] } } }
const sender = createWalletClient({ account, chain, transport: http(chainURL) })
const reader = createPublicClient({ chain, transport: http(chainURL) })
const miner = createTestClient({ mode: 'anvil', chain, transport: http(chainURL) })
const out = { faults: [], foreign: [], axe: [], asked: [], got: {} }
const wallet = { refuses: false, last: undefined, fees: { maxFeePerGas: 20_000_000_000n, maxPriorityFeePerGas: 1_000_000_000n } }
const methods = {
  eth_requestAccounts: () => [account.address], eth_accounts: () => [account.address], eth_chainId: () => '0x' + chain.id.toString(16),
  personal_sign: ([message]) => account.signMessage({ message: { raw: message } }),
  eth_sendTransaction: async ([{ to, data, value }]) => {
    const nonce = await reader.getTransactionCount({ address: account.address })
    wallet.last = { to, data, value: BigInt(value), nonce, gas: 200_000n }
    return sender.sendTransaction({ ...wallet.last, ...wallet.fees })
  },
}

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'] })
const page = await (await browser.newContext()).newPage()
page.setDefaultTimeout(60_000)
page.on('console', (m) => { if (m.type() === 'error') out.faults.push(m.text()) })
page.on('pageerror', (e) => out.faults.push(String(e)))
page.on('request', (r) => { if (!r.url().startsWith(url) && !/^(data|blob):/.test(r.url())) out.foreign.push(r.url()) })
await page.exposeFunction('__wallet', async ({ method, params = [] }) => {
  if (!/accounts|chainId/i.test(method)) out.asked.push(method)
  if (wallet.refuses && method === 'eth_sendTransaction') return { code: 4001, message: 'no' }
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
const turn = () => page.locator('article.turn').last()
const payIt = () => page.getByRole('button', { name: 'Pay with your wallet' })
const ended = async (name, word) => {
  await turn().locator('summary .tag', { hasText: word }).waitFor()
  out.got[name] = await turn().locator('.say').innerText()
}
const sent = () => page.getByText('The run goes on when the chain has it').waitFor()

let hides = false // the server cannot ask the chain what a wallet is asked, and leaves it out of its list
let forgets = false // it has no hash: the browser alone knows that it was sent
await page.routeWebSocket(/./, (ws) => {
  const server = ws.connectToServer()
  server.onMessage((m) => {
    if (forgets) m = m.replace(/,"sent":"0x\w+"/g, '')
    ws.send(hides ? m.replace(/"calls":\[\{.*\}\]/, '"calls":[]') : m)
  })
})

await page.goto(url)
await page.getByRole('button', { name: 'Test Wallet' }).click()
await page.getByRole('button', { name: 'Sign with Test Wallet' }).click()

// Refused in the wallet, and paid later, after the page was loaded again: it asks nobody twice.
await ask('pay bob 1 USDC')
await payIt().waitFor()
out.got.card = await page.locator('section.wait').innerText()
const look = async (name) => {
  for (const scheme of ['light', 'dark']) for (const width of [1440, 390]) {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' })
    await page.setViewportSize({ width, height: width === 1440 ? 900 : 844 })
    await page.evaluate(axe)
    out.axe.push(...await page.evaluate(async () => (await window.axe.run(document, { resultTypes: ['violations'] })).violations.map((v) => v.id)))
    if (await page.evaluate(() => document.documentElement.scrollWidth) > width) out.axe.push(`${name} is wider than ${width}`)
    if (pictures) await page.screenshot({ path: `${pictures}/${name}-${scheme}-${width}.png` })
  }
}
await look('payment')
await page.locator('section.wait summary').click()
await look('payment-exact')
wallet.refuses = true
await payIt().click()
await page.getByRole('alert').getByText('The wallet refused to sign.').waitFor()
wallet.refuses = false
await payIt().click()
await sent()
await look('payment-sent')
out.got.another = await page.getByRole('button', { name: 'Send another one' }).count() // which would be a second payment
out.got.sent = await page.locator('section.wait').innerText()
hides = forgets = true
await page.locator('section.wait').waitFor({ state: 'detached' })
hides = false
await page.locator('section.wait').waitFor()
out.got.offered = await payIt().count()
await page.reload()
await sent()
out.got.offered += await payIt().count()
forgets = false
await page.evaluate(() => localStorage.clear()) // as another browser
await page.reload()
await sent()
out.got.offered += await payIt().count()
await miner.mine({ blocks: 1 })
await page.getByText('The run goes on when the chain has it').waitFor({ state: 'detached' })
await miner.mine({ blocks: 2 }) // the block counts for good

// Sped up in the wallet: another hash, the same payment.
await ask('pay bob 2 USDC')
await payIt().click()
await sent()
await sender.sendTransaction({ ...wallet.last, maxFeePerGas: 60_000_000_000n, maxPriorityFeePerGas: 9_000_000_000n })
await miner.mine({ blocks: 3 })
await ended('spedUp', 'Answered')

// Refused in the wallet, and the run stopped: nothing waits any more.
await ask('pay bob 3 USDC')
await payIt().waitFor()
wallet.refuses = true
await payIt().click()
await page.getByRole('alert').getByText('The wallet refused to sign.').waitFor()
await page.getByRole('button', { name: 'Stop' }).click()
await turn().locator('summary .tag', { hasText: 'Cancelled' }).waitFor()
await payIt().waitFor({ state: 'detached' })
console.log(JSON.stringify(out))
await browser.close()
