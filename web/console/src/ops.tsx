// What the operator sees. It is loaded with its page, and asks with a pass instead of a session (docs/serving.md).
import { useEffect, useState } from 'preact/hooks'
import type { wire } from '../../sdk/src/index.ts'
import { amountText, decimal, leftText } from './amounts.ts'
import { Icon, Id, Note, Tag } from './parts.tsx'
import { now, page } from './store.ts'
import { outcome, stuckText } from './story.ts'

interface Count { of: string; n: number }
interface Times { n: number; p50: number; p95: number }
interface Line { of: string; rules: boolean; runs: number; calls: number; failed: number; in: number; out: number; cost: number; doubtful: number; saved: number; revenue: number; margin: number }
interface Model extends Line { first: Times; whole: Times; failures: Count[] }
interface Tx { run: string; account: string; nonce: number; state: string; why?: string; hashes: string[]; cancels?: boolean; since: number; max_fee?: string; base_fee?: string; behind: number }
interface Look {
  since: number; at: number; runs: number; more: boolean; version: string
  outcomes: Count[]; denials: Count[]; moved: wire.Amount[]
  total: Line; routes: Line[]; models: Model[]
  buckets: { from: number; runs: number; cost: number }[]
  approvals: { run: string; agent: string; since: number; until: number }[]
  transactions: Tx[]; more_transactions: number
  checks: { name: string; ok: boolean; detail: string }[]
}

const windows: [string, string, string][] = [['hour', '1 h', 'The last hour'], ['day', '24 h', 'The last 24 hours'], ['week', '7 d', 'The last 7 days'], ['month', '30 d', 'The last 30 days']]

/** How a run ended, as one says it who is not its owner. */
const endText = (of: string): string => ({ waiting: 'waiting for a wallet', refused: 'refused by a wallet', unanswered: 'not answered by a wallet' })[of] ?? outcome(of)[1].toLowerCase()

/** The pass of the address is taken out of it at once, and kept as long as the tab. */
export const takePass = (): string => {
  const given = page.value.split('/')[1]
  try {
    if (given) sessionStorage.setItem('pass', given)
    if (given) history.replaceState(null, '', '#ops')
    return given || (sessionStorage.getItem('pass') ?? '')
  } catch { return given ?? '' } // a private window
}

const usd = (nano: number, digits = 9): string => {
  const shown = decimal(String(Math.abs(Math.round(nano))), 9)
  const cut = digits < 9 && shown.includes('.') ? shown.slice(0, shown.indexOf('.') + 1 + digits) : shown
  return (nano < 0 ? '−' : '') + cut
}
const share = (part: number, all: number): number => (all > 0 ? (100 * part) / all : 0)
const percent = (p: number): string => `${p > 0 && p < 1 ? p.toFixed(1) : Math.round(p)}%`
const ms = (t: Times, of: 'p50' | 'p95'): string => (t.n ? (t[of] < 10_000 ? `${t[of].toLocaleString('en')} ms` : `${(t[of] / 1000).toFixed(1)} s`) : '·')
const clock = (at: number): string => new Date(at).toISOString().slice(11, 16)
const day = (at: number): string => new Date(at).toISOString().slice(5, 10)
const gwei = (wei: string): string => decimal(wei, 9)

const Bar = ({ of }: { of: number }) => (
  <svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"><rect width={of} height="6" /></svg>
)

/** Runs as columns and what models cost as a line over them, both from 0, with their largest values written out. */
const Course = ({ f }: { f: Look }) => {
  const most = Math.max(1, ...f.buckets.map((b) => b.runs))
  const dear = Math.max(1, ...f.buckets.map((b) => b.cost))
  const n = f.buckets.length
  const long = f.at - f.since > 2 * 86_400_000
  const label = (at: number): string => (long ? day(at) : clock(at))
  return (
    <figure class="course"><figcaption class="row sp sm"><span><b>Runs</b> <span class="mut">as columns, at most {most} each</span></span><span><b class="acc">Model cost</b> <span class="mut">as a line, at most {usd(dear === 1 ? 0 : dear)} USD each</span></span></figcaption>
      <svg viewBox={`0 0 ${n * 10} 120`} preserveAspectRatio="none" role="img" aria-label={`${f.runs} runs, at most ${most} in one of ${n} parts of the time`}>
        {[0, 60, 119.5].map((y) => <line key={y} x1="0" x2={n * 10} y1={y} y2={y} />)}
        {f.buckets.map((b, i) => b.runs > 0 && <rect key={b.from} x={i * 10 + 1.5} width="7" y={120 - (b.runs / most) * 112} height={(b.runs / most) * 112} />)}
        {dear > 1 && <polyline points={f.buckets.map((b, i) => `${i * 10 + 5},${119 - (b.cost / dear) * 111}`).join(' ')} />}</svg>
      <div class="row sp xs mut" aria-hidden="true"><span>{label(f.since)}</span><span>{label((f.since + f.at) / 2)}</span><span>{long ? day(f.at) : `${clock(f.at)} UTC`}</span></div></figure>
  )
}

/** What needs a person, each with the next step; transactions one by one. */
const needsOf = (f: Look): { key: string; text: string; next: string }[] => [
  ...f.checks.filter((c) => !c.ok && c.name !== 'Transactions').map((c) => ({ key: c.name, text: `${c.name} ${c.detail}.`, next: 'writ doctor' })),
  ...f.transactions.filter((t) => t.state === 'stuck').map((t) => ({ key: t.hashes.at(-1) ?? t.run, text: `A transaction of ${t.account.split(':').at(-1)!.slice(0, 6)}…, nonce ${t.nonce}, is in no block: ${stuckText(t.why ?? '')}.${t.behind ? ` ${t.behind} more wait behind it.` : ''}`, next: `writ tx replace ${t.run}` })),
  ...f.models.filter((m) => m.calls >= 5 && m.failed * 10 >= m.calls).map((m) => ({ key: m.of, text: `${m.of || 'A model'} failed in ${m.failed} of ${m.calls} calls${m.failures[0] ? `, mostly ${m.failures[0].of}` : ''}; other models of the route were asked in its place.`, next: 'writ doctor' })),
]

const Rows = ({ title, head, children, empty }: { title: string; head: [string, boolean][]; children: unknown[]; empty: string }) => (
  <section class="card"><h2>{title}</h2>
    {children.length === 0 ? <p class="sm mut">{empty}</p>
      : <div class="scroll" tabIndex={0} role="region" aria-label={title}><table><thead><tr>{head.map(([h, num]) => <th key={h} class={num ? 'num' : ''}>{h}</th>)}</tr></thead><tbody>{children as never}</tbody></table></div>}</section>
)

const states: Record<string, [string, 'ok' | 'warn' | 'bad' | '']> = {
  waiting: ['waits for a block', ''], behind: ['waits for an earlier one', ''], stuck: ['stuck', 'bad'], included: ['in a block, not final yet', 'ok'],
}

const Figures = ({ f }: { f: Look }) => {
  const needs = needsOf(f)
  const calls = f.total.calls
  const byRules = f.routes.filter((r) => r.rules).reduce((n, r) => n + r.calls, 0)
  const denied = f.denials.reduce((n, d) => n + d.n, 0)
  return (
    <>
      {needs.length > 0
        ? <Note tone="warn" icon="warn"><b>{needs.length === 1 ? '1 thing needs you.' : `${needs.length} things need you.`}</b><ul class="needs">{needs.map((n) => <li key={n.key}>{n.text} <code>{n.next}</code></li>)}</ul></Note>
        : <Note tone="calm" icon="check"><b>Nothing needs you.</b> Doubts and the operator’s key are looked at by <code>writ attention</code>.</Note>}
      {f.more && <p class="sm mut">Only the newest {f.runs.toLocaleString('en')} runs of this time are counted.</p>}
      <dl class="sum ops"><div><dt>Runs</dt><dd class="v">{f.runs.toLocaleString('en')}</dd><dd class="xs mut">{f.outcomes.map((o) => `${o.n} ${endText(o.of)}`).join(', ') || 'none in this time'}</dd></div>
        <div><dt>Model cost</dt><dd class="v">{usd(f.total.cost, 6)} <small>USD</small></dd><dd class="xs mut">{f.runs ? `${usd(f.total.cost / f.runs, 6)} a run` : ''}{f.total.doubtful > 0 && `, and ${usd(f.total.doubtful, 6)} that failed calls may have to be paid for`}</dd></div>
        <div><dt>Margin</dt><dd class="v">{usd(f.total.margin, 6)} <small>USD</small></dd><dd class="xs mut">{f.total.revenue ? `${percent(share(f.total.margin, f.total.revenue))} of ${usd(f.total.revenue, 6)} USD that users pay` : 'users pay nothing by the prices above'}</dd></div>
        <div><dt>Moved</dt><dd class="v">{f.moved.length ? f.moved.map(amountText).join(', ') : 'nothing'}</dd><dd class="xs mut">{f.transactions.length ? `${f.transactions.length + f.more_transactions} under way` : ''}</dd></div></dl>
      {f.runs > 0 && <Course f={f} />}
      <div class="grid2">
        <section class="card"><h2>Who answered</h2>{f.routes.length === 0 ? <p class="sm mut">Nothing was asked.</p> : <div class="scroll" tabIndex={0} role="region" aria-label="Who answered"><table><thead><tr><th>Route</th><th class="w40">Share</th><th class="num">Calls</th><th class="num">Cost, USD</th></tr></thead>
          <tbody>{f.routes.map((r) => <tr key={r.of}><td>{r.rules ? <span class="norm">rules, no model</span> : r.of}</td><td><Bar of={share(r.calls, calls)} /></td><td class="num">{r.calls} <small>{percent(share(r.calls, calls))}</small></td><td class="num">{usd(r.cost, 6)}</td></tr>)}</tbody></table></div>}
          {calls > 0 && <p class="xs mut">{percent(share(byRules, calls))} of calls needed no model.{f.total.saved > 0 && ` The dearest model would have cost ${usd(f.total.saved, 6)} USD more for the same.`}</p>}</section>
        <section class="card"><h2>Denied, by rule</h2>{f.denials.length === 0 ? <p class="sm mut">No rule denied a call.</p> : <div class="scroll" tabIndex={0} role="region" aria-label="Denied, by rule"><table><thead><tr><th>Rule</th><th class="w40">Share</th><th class="num">Denials</th></tr></thead>
          <tbody>{f.denials.map((d) => <tr key={d.of}><td><code>{d.of}</code></td><td><Bar of={share(d.n, denied)} /></td><td class="num">{d.n}</td></tr>)}</tbody></table></div>}
          <p class="xs mut">A denial is a rule at work. An error in a rule denies too, and stands here under that rule.</p></section></div>
      <Rows title="Models" empty="No model was asked." head={[['Model', false], ['First word p50', true], ['p95', true], ['Whole p50', true], ['p95', true], ['Calls', true], ['Failed', true], ['Cost, USD', true]]}>
        {f.models.map((m) => <tr key={m.of}><td>{m.of || 'unknown'} {m.rules && <span class="norm">rules, no model</span>}</td><td class="num">{ms(m.first, 'p50')}</td><td class="num">{ms(m.first, 'p95')}</td><td class="num">{ms(m.whole, 'p50')}</td><td class="num">{ms(m.whole, 'p95')}</td>
          <td class="num">{m.calls}</td><td class={`num ${m.failed ? 'warn' : ''}`}>{m.failed ? `${m.failed} · ${m.failures.map((x) => x.of).join(', ')}` : '0'}</td><td class="num">{usd(m.cost, 6)}</td></tr>)}</Rows>
      <Rows title="Calls that wait for a wallet" empty="No call waits." head={[['Agent', false], ['Run', false], ['Since, UTC', true], ['Time left', true]]}>
        {f.approvals.slice(0, 100).map((a) => <tr key={a.run + a.since}><td>{a.agent}</td><td><Id of={a.run} what="the run’s CID" /></td><td class="num">{day(a.since)} {clock(a.since)}</td><td class="num">{leftText(a.until - now.value)}</td></tr>)}</Rows>
      <Rows title="Transactions under way" empty="No run waits for a transaction." head={[['State', false], ['Account and nonce', false], ['Hash', false], ['Run', false], ['Offers, asked (gwei)', true], ['Since, UTC', true]]}>
        {f.transactions.slice(0, 100).map((t) => { const [word, tone] = states[t.state] ?? [t.state, '']; return (
          <tr key={t.account + t.nonce}><td><Tag tone={tone} icon={t.state === 'stuck' ? 'warn' : t.state === 'included' ? 'check' : 'clock'}>{word}</Tag>{t.cancels && <span class="xs mut"> moves nothing: it cancels</span>}{t.why && <span class="xs mut why"> {stuckText(t.why)}</span>}</td>
            <td><Id of={t.account.split(':').at(-1) ?? ''} what="the account" /> <span class="nw">no. {t.nonce}</span></td><td><Id of={t.hashes.at(-1) ?? ''} what="the hash" />{t.hashes.length > 1 && <span class="xs mut"> the {t.hashes.length}th</span>}</td><td><Id of={t.run} what="the run’s CID" /></td>
            <td class="num">{t.max_fee ? `${gwei(t.max_fee)}, ${gwei(t.base_fee ?? '0')}` : '·'}</td><td class="num">{day(t.since)} {clock(t.since)}</td></tr>) })}</Rows>
      <section class="card"><h2>Health</h2><ul class="health sm">{f.checks.map((c) => <li key={c.name}><span class={c.ok ? 'ok' : 'bad'}><Icon of={c.ok ? 'check' : 'x'} /></span><span><b>{c.name}</b> {c.detail}</span></li>)}</ul>
        <p class="xs mut">writ {f.version}. The same and more for programs: <code>/metrics</code>. What a person has to look at, by an exit code: <code>writ attention</code>.</p></section>
    </>
  )
}

const Enter = ({ why }: { why: string }) => (
  <section class="card stack"><h2>This page is the operator’s</h2>
    {why && <p class="bad"><Icon of="warn" /> {why}</p>}
    <p>Whoever runs this server opens it with a link from the server’s own machine. The link holds a pass that the operator’s key has signed: it lets its holder look, until it is over, and change nothing.</p>
    <pre class="cmd">writ ops --data DIR</pre>
    <p class="sm mut">From elsewhere, through a tunnel: <code>ssh -L 8420:127.0.0.1:8420 SERVER</code>, and the link there. Figures go to this machine only, and through no proxy.</p></section>
)

export const Ops = () => {
  const [pass, setPass] = useState(takePass)
  const [window, setWindow] = useState('day')
  const [prices, setPrices] = useState<{ run: string; tokens: string }>(() => { try { return JSON.parse(localStorage.getItem('prices') ?? '') as never } catch { return { run: '', tokens: '' } } })
  const [found, setFound] = useState<Look>()
  const [refused, setRefused] = useState('')
  const [lost, setLost] = useState('')
  const given = page.value.split('/')[1]
  useEffect(() => { if (given) setPass(takePass()) }, [given])
  useEffect(() => {
    if (!pass) return
    const stop = new AbortController()
    const ask = async (): Promise<void> => {
      try {
        const q = new URLSearchParams({ window, per_run: prices.run.trim(), per_million_tokens: prices.tokens.trim() })
        const r = await fetch(`/operator/figures?${q}`, { headers: { Authorization: `Bearer ${pass}` }, signal: stop.signal, cache: 'no-store' })
        const body = await r.text()
        const says = ((): { message?: string } => { try { return JSON.parse(body) as never } catch { return { message: body } } })()
        if (r.ok) { setFound(says as Look); setLost(''); setRefused('') }
        else if (r.status === 403) { setRefused(says.message ?? 'This pass is refused.'); setFound(undefined) }
        else setLost(says.message || `The server answered ${r.status}.`)
      } catch { if (!stop.signal.aborted) setLost('The server does not answer.') }
    }
    void ask()
    const again = setInterval(() => { if (!document.hidden) void ask() }, 15_000)
    return () => { clearInterval(again); stop.abort() }
  }, [pass, window, prices.run, prices.tokens])
  const price = (name: 'run' | 'tokens', value: string): void => {
    const next = { ...prices, [name]: value }
    setPrices(next)
    try { localStorage.setItem('prices', JSON.stringify(next)) } catch { /* a private window */ }
  }
  const title = windows.find((w) => w[0] === window)![2]
  return (
    <><div class="head"><div class="grow"><h1>Operations</h1><p>{pass && !refused ? <>{title}, all wallets, from the journal itself. No prompt and no answer is shown.{found && ` Read at ${clock(found.at)} UTC.`}</> : 'Costs, margin, routes, latency, denials, and what waits.'}</p></div>
      {pass && !refused && <div class="chips" role="group" aria-label="Time">{windows.map(([id, word]) => <button class="chip" key={id} aria-pressed={window === id} onClick={() => setWindow(id)}>{word}</button>)}</div>}</div>
      {!pass || refused ? <Enter why={refused} /> : <>
        {lost && <Note tone="bad" icon="warn"><b>{lost.replace(/\.?$/, '.')}</b> {found ? `These figures are of ${clock(found.at)} UTC; this page goes on asking.` : 'This page goes on asking.'}</Note>}
        <details class="prices"><summary class="sm">What users pay, for the margin</summary><div class="row"><label class="sm">USD a run <input class="in go" inputMode="decimal" value={prices.run} onChange={(e) => price('run', e.currentTarget.value)} /></label>
          <label class="sm">USD for 1,000,000 tokens <input class="in go" inputMode="decimal" value={prices.tokens} onChange={(e) => price('tokens', e.currentTarget.value)} /></label></div></details>
        {found ? <Figures f={found} /> : !lost && <div class="wait3" role="status" aria-label="Loading"><i /><i /><i /></div>}</>}</>
  )
}
