// A run of 10,000 steps in the explorer, in a real Chromium. Its events are made in the page, in the place of the socket's, so
// that what is measured is the page: one message a task, as many ahead as the SDK lets. Counts what is drawn; with "trace"
// it also measures, which says something on a quiet machine only. Prints one JSON object. Arguments: the server's URL, the
// browser, steps, "trace" or "", and a folder for pictures if they are wanted.
import { createRequire } from 'node:module'
import { mockWallet } from '../sdk/dist/test.js'

const e2e = createRequire(new URL('../e2e/package.json', import.meta.url))
const { chromium } = e2e('playwright-core')
const [url, browserPath, count, mode, pictures] = process.argv.slice(2)
const steps = Number(count)
const run = 'bafyreicps7frmmaekr7yxhd7wm2ddengyvan4pnir2lqklur23vua3gwxy'

/** In the page: a socket that has one run more. Every 50th call is denied. */
const addLongRun = ([run, steps]) => {
  const event = (seq) => {
    const at = 1_790_000_000_000 + seq * 20
    const of = { seq: seq - 1, index: 0 }
    const head = { sub: 'long', run, epoch: 'long', seq, at, cid: run }
    if (seq === 0) return { ...head, event: { kind: 'ask', input: { input: 'reconcile every account' } }, does: [{ kind: 'ask_model', route: { kind: 'model', model: 'small', rule: 'cheap', cost_nano: 1000 } }] }
    if (seq === steps - 1) return { ...head, event: { kind: 'reply', of, model: { name: 'small', answered: 'small', provider: 'x', tokens_in: 1, tokens_out: 1, cost_nano: 1 } }, does: [{ kind: 'say', text: 'All accounts are reconciled.' }, { kind: 'close', reason: 'answered', totals: { calls: steps / 2, cost_nano: 5000, tokens_in: 1, tokens_out: 1, turns: 1 } }] }
    if (seq % 100 === 99) return { ...head, event: { kind: 'reply', of }, does: [{ kind: 'deny', tool: 'erc20.transfer', decisions: [{ outcome: 'deny', point: 'spend', rules: ['grant/max_per_call_usdc'] }] }] }
    if (seq % 2) return { ...head, event: { kind: 'reply', of }, does: [{ kind: 'call', tool: 'erc20.balance', class: 'read', phase: 'act', args: { account: `0x${String(seq).padStart(40, '0')}`, token: 'USDC' }, decisions: [{ outcome: 'permit', point: 'tool_call', rules: ['grant/tools'] }] }] }
    if (seq === 20) return { ...head, event: { kind: 'result', of, status: 'pending', output: { state: 'replaced', hash: '0xab', by: 'settings' } }, does: [] }
    if (seq === 22) return { ...head, event: { kind: 'result', of, status: 'pending', output: { state: 'stuck', hash: '0xab', why: 'ceiling', max_fee: '500000000000', base_fee: '812000000000', block: '7' } }, does: [] }
    return { ...head, event: { kind: 'result', of, status: 'ok', took: 3, output: { display: `${seq} USDC`, block: '7', raw_balance: String(seq) } }, does: [] }
  }
  const Real = window.WebSocket
  window.WebSocket = class extends Real {
    #next = 0
    #most = 0
    #tasks = new MessageChannel()
    #say(frame) { this.dispatchEvent(new MessageEvent('message', { data: JSON.stringify(frame) })) }
    #pump() {
      if (this.#next >= Math.min(this.#most, steps)) return
      this.#say({ jsonrpc: '2.0', method: 'run.event', params: event(this.#next++) })
      this.#tasks.port2.postMessage(0)
    }
    send(text) {
      const { id, method, params } = JSON.parse(text)
      const answer = (result) => setTimeout(() => this.#say({ jsonrpc: '2.0', id, result }))
      if (method === 'run.get' && params.run === run)
        return answer({ run, agent: 'treasurer', session: run, last: run, opened: 1_790_000_000_000, closed: 1_790_000_200_000, status: 'answered', outcome: 'answered', steps, cost_nano: 5000 })
      if (method === 'run.subscribe' && params.run === run) {
        this.#most = params.window
        this.#tasks.port1.onmessage = () => this.#pump()
        answer({ sub: 'long', epoch: 'long', head: steps - 1, recovered: true })
        return setTimeout(() => this.#pump(), 1)
      }
      if (method === 'run.ack' && params.sub === 'long') {
        const stood = this.#next >= this.#most
        this.#most = params.seq + 1 + 256
        answer({})
        return stood && this.#tasks.port2.postMessage(0)
      }
      if (params.sub === 'long') return answer({})
      super.send(text)
    }
  }
}

const browser = await chromium.launch({
  executablePath: browserPath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'],
})
const page = await (await browser.newContext({ viewport: { width: 1440, height: 900 } })).newPage()
page.setDefaultTimeout(120_000) // the machine may be busy
const out = { faults: [] }
page.on('pageerror', (e) => out.faults.push(String(e)))
const wallet = mockWallet()
await page.exposeFunction('__wallet', (r) => wallet.request(r))
await page.addInitScript(addLongRun, [run, steps])
await page.addInitScript(() => {
  const detail = Object.freeze({ info: { uuid: 'test', name: 'Test Wallet', icon: '', rdns: 'test' }, provider: { request: (r) => window.__wallet(r) } })
  window.addEventListener('eip6963:requestProvider', () => window.dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail })))
})
await page.goto(url)
await page.getByRole('button', { name: 'Test Wallet' }).click()
await page.getByRole('button', { name: 'Sign with Test Wallet' }).click()
await page.getByText('Ask treasurer', { exact: true }).first().waitFor()
await page.getByRole('link', { name: 'Runs' }).click()
await page.getByText('Nothing was asked yet').waitFor() // the pages that look back are loaded

const tracing = mode === 'trace'
await page.evaluate((run) => { window.__at = performance.now(); location.hash = `run/${run}` }, run)
await page.locator('.virtual .vr').first().waitFor()
await page.waitForFunction(() => document.body.innerText.includes('Closed: answered.'), null, { polling: 'raf' })
out.opened = await page.evaluate(() => performance.now() - window.__at)
out.status = await page.locator('p[role=status]', { hasText: 'lines of' }).innerText()

// From one end to the other and back and at random places, frame by frame: how many rows there are, and how many are new.
const scroll = (frames) => page.evaluate(async (frames) => {
  const box = document.querySelector('.virtual')
  const seen = { rows: 0, added: 0, elements: 0, blank: 0 }
  let added = 0
  const watch = new MutationObserver((list) => { for (const m of list) for (const n of m.addedNodes) if (n.classList?.contains('vr')) added++ })
  watch.observe(box, { childList: true, subtree: true })
  const frame = () => new Promise((ok) => requestAnimationFrame(ok))
  for (let i = 0; i < frames; i++) {
    const most = box.scrollHeight - box.clientHeight
    box.scrollTop = i % 10 === 9 ? ((i * 7919) % frames) * (most / frames) : (Math.abs(((2 * i) / frames) - 1)) * most
    await frame()
    await frame() // the event comes with the first, what is drawn for it before the second
    const rows = [...box.querySelectorAll('.vr')]
    const r = box.getBoundingClientRect()
    const shown = rows.filter((x) => { const b = x.getBoundingClientRect(); return b.bottom > r.top && b.top < r.bottom }).length
    seen.rows = Math.max(seen.rows, rows.length)
    seen.added = Math.max(seen.added, added)
    seen.elements = Math.max(seen.elements, document.querySelectorAll('*').length)
    if (shown < Math.floor(box.clientHeight / 36)) seen.blank++
    added = 0
  }
  watch.disconnect()
  return seen
}, frames)
Object.assign(out, await scroll(120))
if (tracing) {
  // The same without looking, traced: the longest task of the main thread, on the clock and by the thread's own time, which a
  // busy machine does not stretch.
  await browser.startTracing(page, { categories: ['disabled-by-default-devtools.timeline', 'devtools.timeline', 'toplevel'] })
  await page.evaluate(async () => {
    const box = document.querySelector('.virtual')
    for (let i = 0; i < 400; i++) {
      const most = box.scrollHeight - box.clientHeight
      box.scrollTop = i % 10 === 9 ? ((i * 7919) % 400) * (most / 400) : Math.abs(i / 200 - 1) * most
      await new Promise((ok) => requestAnimationFrame(ok))
    }
  })
  const { traceEvents } = JSON.parse(await browser.stopTracing())
  const main = traceEvents.find((e) => e.name === 'thread_name' && e.args.name === 'CrRendererMain' && traceEvents.some((x) => x.pid === e.pid && x.name === 'FunctionCall'))
  const tasks = traceEvents.filter((e) => e.ph === 'X' && e.pid === main.pid && e.tid === main.tid && e.name.includes('RunTask'))
  out.longest = { wall: Math.max(...tasks.map((e) => e.dur / 1000)), cpu: Math.max(...tasks.map((e) => (e.tdur ?? 0) / 1000)) }
}
const told = async (step) => {
  await page.getByLabel('Go to step').fill(String(step))
  await page.getByLabel('Go to step').press('Enter')
  await page.getByRole('heading', { name: `Step ${step}` }).waitFor()
  return page.getByLabel(`Step ${step}`, { exact: true }).innerText()
}
out.replaced = await told(20)
out.stuck = await told(22)
if (pictures)
  for (const scheme of ['light', 'dark']) for (const width of [1440, 390]) {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' })
    await page.setViewportSize({ width, height: width === 1440 ? 900 : 844 })
    await page.screenshot({ path: `${pictures}/long-${scheme}-${width}.png` })
  }
await page.setViewportSize({ width: 1440, height: 900 })
out.inView = await page.evaluate(() => Math.ceil(document.querySelector('.virtual').clientHeight / 36))
await page.locator('.virtual').focus()
await page.keyboard.press('End')
await page.locator('.vr.cur').waitFor()
out.end = await page.locator('.vr.cur').evaluate((e) => [e.getAttribute('aria-posinset'), e.getAttribute('aria-setsize'), e.innerText.replace(/\s+/g, ' ')])
await page.getByLabel('Go to step').fill('7777')
await page.getByLabel('Go to step').press('Enter')
await page.getByRole('heading', { name: 'Step 7777' }).waitFor()
await page.getByRole('button', { name: 'Denied or failed' }).click()
await page.waitForFunction(() => document.querySelector('.vr')?.getAttribute('aria-setsize') !== null && [...document.querySelectorAll('.vr')].every((r) => /Denied|Stuck/.test(r.innerText)))
out.denied = Number(await page.locator('.vr').first().getAttribute('aria-setsize'))
console.log(JSON.stringify(out))
await browser.close()
