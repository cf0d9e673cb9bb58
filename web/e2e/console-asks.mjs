// A person answers what an agent asks in the console, and attaches files. Arguments: server, browser, and a folder for pictures
// if they are wanted.
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import { chromium } from 'playwright-core'
import { mockWallet } from '../sdk/dist/test.js'

const [url, executablePath, pictures] = process.argv.slice(2)
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const out = { faults: [], foreign: [], axe: [], refused: [], seen: {} }
const wallet = mockWallet()

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'] })
const context = await browser.newContext({ viewport: { width: 1440, height: 900 } })
await context.exposeFunction('__wallet', (r) => wallet.request(r))
await context.addInitScript(() => {
  const detail = Object.freeze({ info: { uuid: 'test', name: 'Test Wallet', icon: '', rdns: 'test' }, provider: { request: (r) => window.__wallet(r) } })
  window.addEventListener('eip6963:requestProvider', () => window.dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail })))
})
const open = async () => {
  const page = await context.newPage()
  page.setDefaultTimeout(60_000)
  page.on('console', (m) => { if (['error', 'warning'].includes(m.type())) out.faults.push(m.text()) })
  page.on('pageerror', (e) => out.faults.push(String(e)))
  page.on('request', (r) => { if (!r.url().startsWith(url) && !/^(data|blob):/.test(r.url())) out.foreign.push(r.url()) })
  return page
}
// look lets axe read the page in light and dark, and takes pictures of both, wide and narrow.
const look = async (page, name) => {
  for (const scheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' })
    for (const width of [1440, 390]) {
      await page.setViewportSize({ width, height: width === 1440 ? 900 : 844 })
      await page.evaluate(axe)
      for (const v of await page.evaluate(async () => (await window.axe.run(document, { resultTypes: ['violations'] })).violations.map((v) => `${v.id} ${v.nodes[0]?.target}`))) out.axe.push(`${name} ${scheme} ${width}: ${v}`)
      const wide = await page.evaluate(() => document.documentElement.scrollWidth)
      if (wide > width) out.axe.push(`${name} ${width}: it is ${wide} wide`)
      if (pictures) await page.screenshot({ path: `${pictures}/${name}-${scheme}-${width}.png` })
    }
  }
  await page.setViewportSize({ width: 1440, height: 900 })
  await page.emulateMedia({ colorScheme: 'light' })
}
const page = await open()
let before = 0 // turns that stood there when the last was asked
const ask = async (text) => {
  before = await page.locator('article.turn').count()
  await page.getByPlaceholder(/^Ask /).fill(text)
  await page.keyboard.press('Enter')
}
const turn = () => page.locator('article.turn').last()
const card = (p = page) => p.locator('section.asks').last()
const said = async (name) => {
  await page.locator('article.turn').nth(before).waitFor()
  await turn().locator('summary .tag', { hasText: 'Answered' }).waitFor()
  out.seen[name] = await turn().locator('.say').innerText()
}

await page.goto(url)
await page.getByRole('button', { name: 'Test Wallet' }).click()
await page.getByRole('button', { name: 'Sign with Test Wallet' }).click()

// By a button, by its number, and in words of one's own.
await ask('send a card')
await card().getByRole('button', { name: 'carol' }).waitFor()
out.seen.lookalike = await card().innerText()
out.seen.waits = await page.locator('nav .n').innerText()
await look(page, 'question')
await card().getByRole('button', { name: 'carol' }).click()
await said('chosen')
await turn().locator('summary').first().click()
out.seen.row = await turn().locator('.spine').innerText()
await ask('send a card')
await card().getByRole('button', { name: 'carol' }).focus()
await page.keyboard.press('1')
await said('byKey')
await ask('send a card')
await card().getByLabel('Another answer').fill('dave')
await page.keyboard.press('Enter')
await said('own')
await ask('an open question')
await card().getByLabel('Your answer').fill('Well done')
await card().getByRole('button', { name: 'Answer' }).click()
await said('open')

// Loaded again it asks still, and the answer brings the run into the conversation.
await ask('send a card')
await card().waitFor()
before = 0
await page.reload()
await card().getByText('In the run').waitFor()
await card().getByRole('button', { name: 'bob' }).first().click()
await said('later')

// In the list of what waits; and in another tab, where it is too late then.
await ask('send a card')
await card().waitFor()
const other = await open()
await other.goto(url)
await card(other).waitFor()
await page.getByRole('link', { name: /^Waiting/ }).click()
await page.getByRole('heading', { name: 'What waits for you' }).waitFor()
await card().getByRole('button', { name: 'bob' }).first().waitFor()
await look(page, 'waiting')
await card().getByRole('button', { name: 'bob' }).first().click()
await card().getByText('You answered').waitFor()
out.seen.listed = await card().innerText()
await look(page, 'waiting-answered')
await card(other).getByRole('button', { name: 'carol' }).click()
await card(other).getByText('This question is over').waitFor()
out.seen.late = await card(other).innerText()
await look(other, 'question-late')
await other.close()
await page.getByRole('link', { name: 'Conversation' }).click()
await page.getByRole('link', { name: /^Waiting/ }).click()
await page.getByText('Nothing waits for you').waitFor()
out.seen.none = await page.locator('main').innerText()
await page.getByRole('link', { name: 'Conversation' }).click()

// A rule lets no second answer in.
await ask('ask me twice')
await card().getByRole('button', { name: 'bob' }).first().click()
await card().getByText('Are you sure?').waitFor()
await card().getByRole('button', { name: 'yes' }).click()
await card().getByText('did not let').waitFor()
out.seen.rule = await card().innerText()
await look(page, 'question-refused')
await page.getByRole('button', { name: 'Stop' }).click()
await turn().locator('summary .tag', { hasText: 'Cancelled' }).waitFor()

// Files: picked, dropped, pasted; of those that are not taken each is told.
const picked = page.locator('input[type=file]')
await picked.setInputFiles([{ name: 'notes.md', mimeType: 'text/markdown', buffer: Buffer.from('# Notes\nnone') },
  { name: 'tool.bin', mimeType: 'application/octet-stream', buffer: Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0]) },
  { name: 'long.txt', mimeType: 'text/plain', buffer: Buffer.alloc(300_000, 'a') }])
await page.locator('.bag .note').nth(1).waitFor()
out.refused = await page.locator('.bag .note').allInnerTexts()
const give = (kind, name, text) => page.evaluate(([kind, name, text]) => {
  const data = new DataTransfer()
  data.items.add(new File([text], name, { type: 'text/csv' }))
  const on = document.querySelector(kind === 'drop' ? '.thread' : 'textarea')
  if (kind === 'drop') for (const type of ['dragover', 'drop']) on.dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer: data }))
  else on.dispatchEvent(new ClipboardEvent('paste', { bubbles: true, cancelable: true, clipboardData: data }))
}, [kind, name, text])
await look(page, 'files-refused')
await give('drop', 'table.csv', 'a,b\n1,2\n')
await page.getByRole('button', { name: 'Remove table.csv' }).waitFor()
await give('paste', 'pasted.csv', 'c,d\n3,4\n')
await page.getByRole('button', { name: 'Remove pasted.csv' }).waitFor()
await give('drop', 'gone.csv', 'e,f\n5,6\n')
await page.getByRole('button', { name: 'Remove gone.csv' }).click()
await look(page, 'files')
await ask('read this')
await page.keyboard.press('Enter') // while the files are sent
await said('read')
out.seen.runs = String(await page.locator('article.turn').count() - before)
out.seen.files = await turn().innerText()
await look(page, 'files-asked')
await ask('read this too')
await said('again')
console.log(JSON.stringify(out))
await browser.close()
