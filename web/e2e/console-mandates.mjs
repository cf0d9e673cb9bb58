// A person lets the agent pay from an account of theirs in the console, and ends that on the chain. Arguments: server, chain's
// URL, browser, key of the account, and a folder for pictures if they are wanted.
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import { chromium } from 'playwright-core'
import { createWalletClient, http } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'

const [url, chainURL, executablePath, key, pictures] = process.argv.slice(2)
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const account = privateKeyToAccount(key)
const chain = { id: 1337, name: 'dev', nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 }, rpcUrls: { default: { http: [chainURL] } } }
const sender = createWalletClient({ account, chain, transport: http(chainURL) })
const out = { faults: [], foreign: [], axe: [], seen: {} }
let refuses = false, reverts = true
const methods = {
  eth_requestAccounts: () => [account.address], eth_accounts: () => [account.address], eth_chainId: () => '0x539',
  personal_sign: ([message]) => account.signMessage({ message: { raw: message } }),
  eth_signTypedData_v4: ([, text]) => { const { types: { EIP712Domain: _, ...types }, ...rest } = JSON.parse(text); return account.signTypedData({ types, ...rest }) },
  eth_sendTransaction: ([{ to, data }]) => (reverts ? '0x' + 'fa'.repeat(32) : sender.sendTransaction({ to, data, value: 0n })),
  eth_getTransactionReceipt: ([hash]) => (hash.startsWith('0xfafa') ? { status: '0x0' } : null),
}

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'] })
const page = await (await browser.newContext()).newPage()
page.setDefaultTimeout(60_000)
page.on('console', (m) => { if (m.type() === 'error') out.faults.push(m.text()) })
page.on('pageerror', (e) => out.faults.push(String(e)))
page.on('request', (r) => { if (!r.url().startsWith(url) && !/^(data|blob):/.test(r.url())) out.foreign.push(r.url()) })
await page.exposeFunction('__wallet', async ({ method, params = [] }) => {
  if (refuses && /sign|send/i.test(method)) return { code: 4001, message: 'no' }
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
const look = async (name) => {
  for (const scheme of ['light', 'dark']) for (const width of [1440, 390]) {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' })
    await page.setViewportSize({ width, height: width === 1440 ? 900 : 844 })
    await page.evaluate(axe)
    for (const v of await page.evaluate(async () => (await window.axe.run(document, { resultTypes: ['violations'] })).violations.map((v) => `${v.id} ${v.nodes[0]?.target}`))) out.axe.push(`${name} ${scheme} ${width}: ${v}`)
    if (await page.evaluate(() => document.documentElement.scrollWidth) > width) out.axe.push(`${name} is wider than ${width}`)
    if (pictures) await page.screenshot({ path: `${pictures}/${name}-${scheme}-${width}.png` })
  }
}
const part = () => page.getByRole('region', { name: 'Paid from your own account' })
const button = (name) => part().getByRole('button', { name })

await page.goto(url)
await page.getByRole('button', { name: 'clerk' }).click()
await page.getByRole('button', { name: 'Test Wallet' }).click()
await page.getByRole('button', { name: 'Sign with Test Wallet' }).click()
await page.getByRole('link', { name: 'Sessions' }).click()

// An account that has no code, then the wallet itself: refused there, and allowed.
await part().getByRole('textbox').fill('0x00000000000000000000000000000000000b0b00')
await button('Let it pay USDC…').click()
await part().getByText('has no code yet').waitFor()
out.seen.other = await part().innerText()
await button('Back').click()
await part().getByRole('textbox').fill('')
await button('Let it pay USDC…').click()
await button('Allow it with your wallet').waitFor()
out.seen.asked = await part().innerText()
await look('delegate')
refuses = true
await button('Allow it with your wallet').click()
await page.getByText('The wallet refused to sign.').waitFor()
refuses = false
await button('Allow it with your wallet').click()
await part().getByText('In force').waitFor()
await look('delegated')

await page.getByRole('link', { name: 'Conversation' }).click()
await page.getByPlaceholder(/^Ask /).fill('pay bob 5 USDC')
await page.keyboard.press('Enter')
const turn = page.locator('article.turn').last()
await turn.locator('summary .tag', { hasText: 'Answered' }).waitFor()
out.seen.paid = await turn.locator('.say').innerText()

await page.getByRole('link', { name: 'Sessions' }).click()
await part().getByText('Spent by the chain').waitFor()
out.seen.spent = await part().innerText()
await button('End it…').click()
await look('delegation-ends')
await button('Revoke it on the chain').click()
await button('End it…').waitFor() // the transaction failed
out.seen.failed = await part().getByRole('alert').innerText()
reverts = false
await button('End it…').click()
await button('Revoke it on the chain').click()
await part().getByText('Revoked on the chain').waitFor()
out.seen.after = await part().innerText()
await look('delegation-over')
console.log(JSON.stringify(out))
await browser.close()
