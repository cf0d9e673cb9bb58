// The page in a real Chromium, with a wallet that announces itself: connect, narrow, sign, ask, approve, refuse, be denied,
// reject in the wallet, load again, lose the network, revoke. Prints one JSON object. Arguments: the server's URL, the
// browser, a folder for what is downloaded, a link to the operations page, and a folder for pictures if they are wanted.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { mockWallet } from '../sdk/dist/test.js'

const e2e = createRequire(new URL('../e2e/package.json', import.meta.url))
const { chromium } = e2e('playwright-core')
const axe = readFileSync(e2e.resolve('axe-core/axe.min.js'), 'utf8')
const [url, browserPath, folder, opsLink, pictures] = process.argv.slice(2)
const out = { faults: [], foreign: [], axe: [], seen: {} }

const browser = await chromium.launch({
  executablePath: browserPath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-sync',
    '--disable-component-update', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'],
})
const wallet = mockWallet()
const open = async (options) => {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, bypassCSP: false, ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(120_000) // the machine may be busy
  page.on('console', (m) => { if (m.type() === 'error' || m.type() === 'warning') out.faults.push(m.text()) })
  page.on('pageerror', (e) => out.faults.push(String(e)))
  page.on('request', (r) => { if (!r.url().startsWith(url) && !/^(data|blob):/.test(r.url())) out.foreign.push(r.url()) })
  return page
}
const announce = async (page) => {
  await page.exposeFunction('__wallet', async (request) => {
    try { return { ok: await wallet.request(request) } } catch (e) { return { code: e.code, message: e.message } }
  })
  await page.addInitScript(() => {
    const provider = {
      request: async (r) => {
        const a = await window.__wallet(r)
        if ('ok' in a) return a.ok
        throw Object.assign(new Error(a.message), { code: a.code })
      },
    }
    const detail = Object.freeze({ info: { uuid: 'test', name: 'Test Wallet', icon: '', rdns: 'test' }, provider })
    const say = () => window.dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail }))
    window.addEventListener('eip6963:requestProvider', say)
    say()
  })
}
let states = 0
// look lets axe read the page in light and dark, and takes pictures of both, wide and narrow.
const look = async (page, name) => {
  states++
  for (const scheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' })
    await page.evaluate(axe)
    const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }))
    for (const v of found.violations) out.axe.push(`${name} ${scheme}: ${v.id} ${v.nodes[0]?.target}`)
    if (!pictures) continue
    for (const width of [1440, 390]) {
      await page.setViewportSize({ width, height: width === 1440 ? 900 : 844 })
      await page.screenshot({ path: `${pictures}/${name}-${scheme}-${width}.png` })
    }
    await page.setViewportSize({ width: 1440, height: 900 })
  }
  await page.emulateMedia({ colorScheme: 'light' })
}
const askFor = async (page, text) => {
  await page.getByPlaceholder(/^Ask /).fill(text)
  await page.keyboard.press('Enter')
}
const lastTurn = (page) => page.locator('article.turn').last()

// Nobody's wallet.
const bare = await open()
await bare.goto(url)
await bare.getByText('No wallet announces itself here').waitFor()
await look(bare, 'no-wallet')
await bare.context().close()

const page = await open()
await announce(page)
await page.goto(url)
await page.getByRole('button', { name: 'Test Wallet' }).click()
await page.getByText('What treasurer may do for you').waitFor()
await look(page, 'permissions')
const total = page.locator('.clause', { hasText: 'in total' })
await total.locator('input').fill('80')
out.seen.narrowed = (await page.locator('.worst .big').innerText()).replace(/\s+/g, ' ')
await page.getByRole('button', { name: 'Exact text' }).click()
out.seen.exact = /at most 20 USDC in total and 10 USDC per call/.test(await page.locator('dialog pre').innerText())
await look(page, 'exact-text')
await page.getByRole('button', { name: 'Close' }).click()
wallet.refuses = true
await page.getByRole('button', { name: 'Sign with Test Wallet' }).click()
await page.getByRole('alert').getByText('The wallet refused to sign.').waitFor()
await look(page, 'rejected')
wallet.refuses = false
await page.getByRole('button', { name: 'Sign with Test Wallet' }).click()
await page.getByText('Ask treasurer', { exact: true }).first().waitFor()
out.seen.signed = /at most 20 USDC in total/.test(Buffer.from(wallet.asked.at(-1).params[0].slice(2), 'hex').toString())
await look(page, 'empty')

await askFor(page, "what is alice's USDC balance?")
await lastTurn(page).locator('.say').filter({ hasText: 'USDC' }).waitFor()
out.seen.answer = await lastTurn(page).locator('.say').innerText()
await askFor(page, 'send 500 USDC to mallory')
await lastTurn(page).getByText('Denied by grant/max_per_call_usdc').waitFor()
await look(page, 'denied')
await askFor(page, 'send 5 USDC to bob')
await page.getByRole('button', { name: 'Approve', exact: true }).waitFor()
out.seen.finds = (await page.locator('.finds').innerText()).replace(/\s+/g, ' ')
out.seen.moves = (await page.locator('.moves').innerText()).replace(/\s+/g, ' ')
await look(page, 'approval')
// The page is loaded again while it waits: the session and what waits are there.
await page.reload()
await page.getByRole('button', { name: 'Approve', exact: true }).waitFor()
wallet.refuses = true
await page.getByRole('button', { name: 'Approve', exact: true }).click()
await page.getByRole('alert').getByText('The wallet refused to sign.').waitFor()
wallet.refuses = false
await page.getByRole('button', { name: 'Approve', exact: true }).click()
await page.getByRole('button', { name: 'Approve', exact: true }).waitFor({ state: 'detached' })

await askFor(page, 'send 2 USDC to bob')
await page.getByRole('button', { name: 'Refuse…' }).click()
await page.getByPlaceholder(/^Why not/).fill('not today')
await page.getByRole('button', { name: 'Refuse', exact: true }).click()
await lastTurn(page).locator('summary .tag', { hasText: 'Denied' }).waitFor()
out.seen.refused = await lastTurn(page).locator('.say').innerText()
await askFor(page, 'send 3 USDC to bob')
await page.getByRole('button', { name: 'Approve', exact: true }).waitFor()
await page.getByRole('button', { name: 'Stop' }).click()
await lastTurn(page).locator('summary .tag', { hasText: 'Cancelled' }).waitFor()

await page.getByRole('link', { name: 'Runs' }).click()
const rows = page.locator('tbody tr.r')
await rows.first().waitFor()
out.seen.runs = await rows.count()
out.seen.outcomes = (await rows.locator('.tag').allInnerTexts()).join()
await look(page, 'runs')
await page.getByRole('searchbox').fill('to bob')
await page.waitForFunction(() => document.querySelectorAll('tbody tr.r').length === 3)
out.seen.found = await rows.count()
await page.getByRole('combobox').selectOption('refused')
await page.waitForFunction(() => document.querySelectorAll('tbody tr.r').length === 1)
out.seen.refusedRun = await rows.first().innerText()
await page.getByRole('searchbox').fill('nothing like it')
await page.getByText('No run is like that.').waitFor()
await look(page, 'runs-none')
await page.getByRole('searchbox').fill('')
await page.getByRole('combobox').selectOption('')
await page.waitForFunction(() => document.querySelectorAll('tbody tr.r').length === 5)
await rows.nth(2).getByRole('checkbox').check()
await rows.nth(0).getByRole('checkbox').check()
await page.getByRole('link', { name: 'Compare these two' }).click()
await page.getByText(/in one of them alone/).waitFor()
out.seen.compared = await page.locator('table.both tbody tr').count()
await look(page, 'compare')
await page.getByRole('link', { name: 'Runs' }).first().click()
await rows.filter({ hasText: '−5' }).first().getByRole('link').click()
await page.getByRole('button', { name: 'Record, keys and receipt' }).waitFor()
await page.locator('.spine li').first().waitFor()
out.seen.spelledOut = await page.locator('.spine .u').count()
await look(page, 'run')
const downloads = []
page.on('download', (d) => downloads.push(d))
await page.getByRole('button', { name: 'Record, keys and receipt' }).click()
for (let i = 0; i < 100 && downloads.length < 3; i++) await page.waitForTimeout(50)
out.files = {}
for (const d of downloads) {
  const kind = d.suggestedFilename().replace(/^run-\w+\./, '')
  await d.saveAs(`${folder}/${kind}`)
  out.files[kind] = `${folder}/${kind}`
}

// The network is lost and comes again.
await page.context().setOffline(true)
await page.context().setOffline(false)
await page.getByRole('link', { name: 'Conversation' }).click()
await askFor(page, "what is bob's USDC balance?")
await lastTurn(page).locator('.say').filter({ hasText: 'USDC' }).waitFor()
out.seen.after = await lastTurn(page).locator('.say').innerText()

await page.getByRole('link', { name: 'Sessions' }).click()
await page.getByRole('button', { name: 'Revoke…' }).first().waitFor()
out.seen.session = (await page.locator('article.ses').first().innerText()).replace(/\s+/g, ' ')
await look(page, 'sessions')
await page.getByRole('button', { name: 'Revoke…' }).first().click()
await page.getByRole('button', { name: 'Revoke it now' }).click()
await page.getByText('Connect a wallet').waitFor()
out.seen.revoked = true

// The documentation, as a person with a small screen reads it.
const book = await open({ viewport: { width: 320, height: 640 } })
out.seen.wide = []
for (const name of ['', 'protocol', 'record', 'errors', 'errors/conflict', 'errors/model.rate', 'search?q=grant', 'nothing']) {
  await book.goto(`${url}/docs/${name}`)
  const wide = await book.evaluate(() => document.documentElement.scrollWidth)
  if (wide > 320) out.seen.wide.push(`${name} ${wide}`)
  await book.evaluate(axe)
  for (const scheme of ['light', 'dark']) {
    await book.emulateMedia({ colorScheme: scheme })
    const found = await book.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }))
    for (const v of found.violations) out.axe.push(`docs/${name} ${scheme}: ${v.id} ${v.nodes[0]?.target}`)
    if (pictures && ['', 'protocol', 'errors/conflict'].includes(name)) await book.screenshot({ path: `${pictures}/docs-${name.replace('/', '-') || 'index'}-${scheme}-320.png` })
  }
}
out.faults = out.faults.filter((f) => !/404/.test(f)) // of the page that is not there
await book.context().close()

// The operator, who has no wallet here: without a pass, with one that somebody has changed, with a good one; then what the
// server does not do of itself here, told by made-up figures, and a server that does not answer.
const ops = await open()
await ops.goto(url + '/#ops')
await ops.getByText('This page is the operator’s').waitFor()
await look(ops, 'ops-closed')
await ops.goto('about:blank')
ops.on('response', (r) => { if (r.url().includes('/operator/') && r.status() === 403) out.seen.passRefused = true })
const quiet = out.faults.length // the browser tells of each 403 and each lost request
await ops.goto(opsLink.slice(0, -4) + 'AAAA')
await ops.getByText(/no pass that the operator/).waitFor()
await ops.goto('about:blank')
out.faults.length = quiet
await ops.goto(opsLink)
await ops.getByText('grant/max_per_call_usdc').first().waitFor()
out.seen.opsAddress = ops.url()
out.seen.ops = (await ops.locator('.sum.ops').innerText()).replace(/\s+/g, ' ')
await ops.getByText('What users pay, for the margin').click()
await ops.getByLabel('USD a run').fill('0.5')
await ops.getByLabel('USD a run').press('Enter')
await ops.getByText(/that users pay/).waitFor()
out.seen.margin = (await ops.locator('.sum.ops').innerText()).replace(/\s+/g, ' ')
await look(ops, 'ops')
const invented = async (f) => ops.route('**/operator/figures*', async (route) => {
  const answer = await route.fetch()
  await route.fulfill({ json: f(await answer.json()) })
})
const link = 'bafyreicps7frmmaekr7yxhd7wm2ddengyvan4pnir2lqklur23vua3gwxy'
await invented((f) => ({
  ...f, transactions: ['stuck', 'behind', 'included'].map((state, nonce) => ({
    run: link, account: 'eip155:1:0x3c67322F17481947F37dfb7BDA03BF7C25b66f0f', nonce, state, why: nonce ? '' : 'ceiling', behind: nonce ? 0 : 1,
    hashes: ['0x' + 'ab'.repeat(32), '0x' + 'cd'.repeat(32)], since: f.at - 60_000, max_fee: '500000000000', base_fee: '812000000000',
  })),
  models: [{ ...f.models[0], of: 'small', rules: false, calls: 40, failed: 9, first: { n: 31, p50: 180, p95: 2410 }, whole: { n: 31, p50: 900, p95: 12_400 }, failures: [{ of: 'model.rate', n: 8 }, { of: 'model.timeout', n: 1 }], cost: 1_070_000 }, ...f.models],
  checks: f.checks.map((c) => (c.name === 'Transactions' ? { ...c, ok: false, detail: '1 of 3 are stuck: writ tx replace, or writ tx cancel' } : c)),
}))
await ops.getByRole('button', { name: '7 d' }).click()
await ops.getByText('2 things need you.').waitFor()
out.seen.needs = (await ops.locator('.needs').innerText()).replace(/\s+/g, ' ')
await look(ops, 'ops-needs')
await ops.unroute('**/operator/figures*')
await invented((f) => ({ ...f, runs: 0, outcomes: [], denials: [], moved: [], routes: [], models: [], approvals: [], transactions: [], buckets: f.buckets.map((b) => ({ ...b, runs: 0, cost: 0 })), total: { ...f.total, calls: 0, cost: 0, revenue: 0, margin: 0 } }))
await ops.getByRole('button', { name: '1 h' }).click()
await ops.getByText('No rule denied a call.').waitFor()
await look(ops, 'ops-empty')
await ops.unroute('**/operator/figures*')
const before = out.faults.length
await ops.route('**/operator/figures*', (route) => route.abort())
await ops.getByRole('button', { name: '30 d' }).click()
await ops.getByText('The server does not answer.').waitFor()
await look(ops, 'ops-lost')
out.faults.length = before
await ops.context().close()

// The file that was taken away is checked in the page, with the network gone, whole and with one bit flipped.
await page.getByRole('link', { name: 'Check a record' }).click()
await page.getByRole('button', { name: 'Check it' }).waitFor()
await page.context().setOffline(true)
const pick = page.locator('input[type=file]')
await pick.setInputFiles([`${folder}/car`, `${folder}/keys.json`].map((f, i) => ({ name: ['run.car', 'run.keys.json'][i], mimeType: 'application/octet-stream', buffer: readFileSync(f) })))
await page.getByRole('button', { name: 'Check it' }).click()
await page.getByText('Nothing is wrong in what was checked').first().waitFor()
out.seen.checked = await page.locator('section h3 + ul').first().locator('li').count()
await look(page, 'checked')
const bad = readFileSync(`${folder}/car`)
bad[Math.floor(bad.length / 2)] ^= 1
await pick.setInputFiles([{ name: 'run.car', mimeType: 'application/octet-stream', buffer: bad }])
await page.getByRole('button', { name: 'Check it' }).click()
await page.getByRole('alert').getByText('This file does not hold.').waitFor()
out.seen.flipped = await page.getByRole('alert').innerText()
out.states = states
console.log(JSON.stringify(out))
await browser.close()
