// What was: runs, one run, two runs beside each other, and sessions. It is loaded when one of these pages is opened.
import { useEffect, useRef, useState } from 'preact/hooks'
import type { wire } from '../../sdk/src/index.ts'
import { amountText, decimal, leftText, usdText } from './amounts.ts'
import { LongRun } from './long.tsx'
import { Icon, Id, Later, Strange, Tag } from './parts.tsx'
import { attempt, downloadRun, listSessions, now, revoke, runInfo, session, type Turn } from './store.ts'
import { outcome, type Row } from './story.ts'
import { Outcome, TurnView } from './talk.tsx'
import { openRun } from './turns.ts'

const stamp = (ms: number): string => new Date(ms).toISOString()
const day = (ms: number): string => stamp(ms).slice(0, 10)
const time = (ms: number): string => stamp(ms).slice(11, 19)
const when = (ms: number): string => `${day(ms)} ${stamp(ms).slice(11, 16)} UTC`

const Waits = () => <div class="wait3" role="status" aria-label="Loading"><i /><i /><i /></div>

const outcomes = ['answered', 'waiting', 'asks', 'denied', 'refused', 'unanswered', 'failed', 'in_doubt', 'cancelled', 'revoked', 'running']

const RunRow = ({ r, picked, pick }: { r: wire.Run; picked: boolean; pick: () => void }) => (
  <tr class="r"><td><input type="checkbox" aria-label={`Compare ${r.asked || r.run}`} checked={picked} onChange={pick} /></td>
    <td class="grow"><a class="q" href={`#run/${r.run}`}>{r.asked ? <Strange of={r.asked} /> : r.erased ? 'What was asked is erased' : 'A run'}</a>
      {r.caller && <span class="xs mut"> asked by another agent</span>}{r.forked && <span class="xs mut"> forked from another run</span>}</td>
    <td><Outcome reason={r.outcome ?? r.status} />{r.rule && <span class="xs mut why"> by {r.rule}</span>}</td>
    <td class="num">{r.moved?.length ? r.moved.map((a) => <span class="nw" key={a.asset}>−{decimal(a.units, a.decimals)} <small>{a.asset}</small> </span>) : <span class="dim" aria-label="nothing">·</span>}</td>
    <td class="num mut">{r.cost_nano ? decimal(String(r.cost_nano), 9) : '0'}</td><td class="num mut">{r.steps}</td><td class="num mut">{time(r.opened)}</td>
    <td class="num"><Id of={r.run} what="the run’s CID" /></td></tr>
)

export const Runs = () => {
  const [runs, setRuns] = useState<wire.Run[]>()
  const [next, setNext] = useState('')
  const [word, setWord] = useState('')
  const [end, setEnd] = useState('')
  const [picked, setPicked] = useState<string[]>([])
  const asked = useRef(0)
  const load = async (before: string): Promise<void> => {
    const mine = ++asked.current
    const found = await attempt(() => session.value!.call('run.list', {
      limit: 50, ...(before && { before }), ...(word.trim() && { find: word.trim() }), ...(end && { outcome: end }),
    }))
    if (mine !== asked.current) return // something else was asked since, and may have been answered first
    setRuns((was) => [...(before ? was ?? [] : []), ...(found?.runs ?? [])])
    setNext(found?.next ?? '')
  }
  useEffect(() => {
    const t = setTimeout(() => void load(''), word ? 250 : 0) // not at each letter
    return () => clearTimeout(t)
  }, [word, end])
  const days = new Map<string, wire.Run[]>()
  for (const r of runs ?? []) days.set(day(r.opened), [...(days.get(day(r.opened)) ?? []), r])
  const pick = (id: string): void => setPicked((p) => (p.includes(id) ? p.filter((x) => x !== id) : [...p, id].slice(-2)))
  const chosen = !!(word.trim() || end)
  return (
    <><div class="head"><div class="grow"><h1>Runs</h1><p>Everything your agents were asked, how it ended, and what moved. Each is a record that anybody with its file can check.</p></div>
      {picked.length === 2 && <a class="btn" href={`#compare/${picked.join('/')}`}>Compare these two</a>}</div>
      <div class="filters"><input class="in find" type="search" aria-label="Search in what was asked, or by CID" placeholder="Words, or a CID" value={word} onInput={(e) => setWord(e.currentTarget.value)} />
        <label class="row sm">Outcome <select class="in" value={end} onChange={(e) => setEnd(e.currentTarget.value)}><option value="">any</option>{outcomes.map((o) => <option key={o} value={o}>{outcome(o)[1]}</option>)}</select></label></div>
      {!runs ? <Waits /> : runs.length === 0 && !chosen && !next
        ? <div class="card stack"><h2>Nothing was asked yet</h2><p class="sm mut">A run is one request with all that came of it, "what is alice's USDC balance?" for instance.</p><a class="btn pri" href="#talk">Ask something</a></div>
        : <><div class="scroll" tabIndex={0} role="region" aria-label="Runs"><table class="runs"><thead><tr><th><span class="vh">Compare</span></th><th>Asked</th><th>Outcome</th><th class="num">Moved</th><th class="num">Model cost, USD</th><th class="num">Steps</th><th class="num">At, UTC</th><th class="num">Run</th></tr></thead>
          {[...days].map(([d, list]) => <tbody key={d}><tr class="day"><th colSpan={8} scope="rowgroup">{d}</th></tr>{list.map((r) => <RunRow key={r.run} r={r} picked={picked.includes(r.run)} pick={() => pick(r.run)} />)}</tbody>)}</table></div>
          {runs.length === 0 && <p class="sm mut" role="status">{next ? 'None among the newest 1,000.' : 'No run is like that.'}</p>}
          {next && <button class="btn" onClick={() => void load(next)}>Earlier runs</button>}</>}</>
  )
}

const Facts = ({ info }: { info: wire.Run }) => (
  <dl class="sum"><div><dt>Outcome</dt><dd><Outcome reason={info.outcome ?? info.status} />{info.rule && <span class="mut sm"> by {info.rule}</span>}</dd></div>
    <div><dt>Moved</dt><dd>{info.moved?.length ? info.moved.map(amountText).join(', ') : 'nothing'}</dd></div>
    <div><dt>Model cost</dt><dd>{usdText(info.cost_nano ?? 0)}</dd></div>
    <div><dt>Steps</dt><dd>{info.steps}</dd></div><div><dt>Asked</dt><dd>{when(info.opened)}</dd></div>
    {!!info.closed && <div><dt>Took</dt><dd>{((info.closed - info.opened) / 1000).toFixed(1)} s</dd></div>}</dl>
)

/** Runs of more rows than this are shown as a list of which only what is in view is there. */
const long = 150

export const RunPage = ({ cid }: { cid: string }) => {
  const [turn, setTurn] = useState<Turn>()
  const [info, setInfo] = useState<wire.Run>()
  useEffect(() => {
    void runInfo(cid).then(setInfo)
    const stop = new AbortController()
    void openRun(cid, setTurn, stop.signal)
    return () => stop.abort()
  }, [cid])
  const reason = turn?.story.reason ?? ''
  useEffect(() => { if (reason) void runInfo(cid).then(setInfo) }, [reason])
  return (
    <><div class="head"><div class="grow"><p class="sm"><a href="#runs">Runs</a></p><h1>Run</h1><p><Id of={cid} what="the run’s CID" /></p></div>
      <button class="btn" onClick={() => void downloadRun(cid)}><Icon of="down" />Record, keys and receipt</button></div>
      {info && <Facts info={info} />}
      {turn && (info?.steps ?? 0) > long ? <LongRun t={turn} steps={info!.steps} /> : turn ? <TurnView t={turn} whole /> : <Waits />}
      <p class="sm mut">Check it without this server: <code>writ-audit verify run-{cid.slice(-8)}.car --keys run-{cid.slice(-8)}.keys.json</code></p></>
  )
}

/** Rows of both in one order: those that say the same stand beside each other. */
export const align = (a: Row[], b: Row[]): [Row | undefined, Row | undefined][] => {
  const same = (x: Row, y: Row): boolean => x.text === y.text // why has times, which always differ
  const out: [Row | undefined, Row | undefined][] = []
  const n = a.length, m = b.length
  if (n * m > 250_000) { // too much to look for the best: step by step
    for (let i = 0; i < Math.max(n, m); i++) out.push([a[i], b[i]])
    return out
  }
  const best = Array.from({ length: n + 1 }, () => new Uint16Array(m + 1))
  for (let i = n - 1; i >= 0; i--) for (let j = m - 1; j >= 0; j--)
    best[i]![j] = same(a[i]!, b[j]!) ? best[i + 1]![j + 1]! + 1 : Math.max(best[i + 1]![j]!, best[i]![j + 1]!)
  let i = 0, j = 0
  while (i < n || j < m) {
    if (i < n && j < m && same(a[i]!, b[j]!)) out.push([a[i++], b[j++]])
    else if (j >= m || (i < n && best[i + 1]![j]! >= best[i]![j + 1]!)) out.push([a[i++], undefined])
    else out.push([undefined, b[j++]])
  }
  return out
}

const Side = ({ r }: { r: Row | undefined }) => (
  <td>{r ? <><span class="n">{r.step}</span> <span class={r.tone}><Icon of={r.icon} /></span> <Strange of={r.text} /> {r.why && <span class="xs mut"><Strange of={r.why} /></span>}</> : <span class="dim" aria-label="nothing here">·</span>}</td>
)

export const Compare = ({ ids }: { ids: string[] }) => {
  const [turns, setTurns] = useState<(Turn | undefined)[]>([])
  const [infos, setInfos] = useState<(wire.Run | undefined)[]>([])
  useEffect(() => {
    const stop = new AbortController()
    ids.forEach((id, i) => {
      const put = <T,>(was: T[], v: T): T[] => { const next = [...was]; next[i] = v; return next }
      void runInfo(id).then((r) => setInfos((was) => put(was, r)))
      void openRun(id, (t) => setTurns((was) => put(was, t)), stop.signal)
    })
    return () => stop.abort()
  }, [ids.join()])
  const [a, b] = turns
  const [x, y] = infos
  if (ids.length !== 2) return <p>Choose two runs under <a href="#runs">Runs</a>.</p>
  const fact = (name: string, of: (r: wire.Run) => string) => {
    const l = x ? of(x) : '', r = y ? of(y) : ''
    return <tr class={l === r ? 'mut' : ''}><th scope="row">{name}</th><td>{l}</td><td>{r}</td><td>{l === r ? 'the same' : <b>differs</b>}</td></tr>
  }
  const rows = a && b ? align(a.story.rows, b.story.rows) : []
  const differ = rows.filter(([l, r]) => !l || !r).length
  return (
    <><div class="head"><div class="grow"><p class="sm"><a href="#runs">Runs</a></p><h1>Two runs</h1><p>What both say stands in one line; what one of them says alone is marked.</p></div></div>
      {x && y && <div class="scroll" tabIndex={0} role="region" aria-label="What they came to"><table><thead><tr><th><span class="vh">What</span></th><th><a href={`#run/${ids[0]}`}><Strange of={x.asked || 'the first'} /></a></th><th><a href={`#run/${ids[1]}`}><Strange of={y.asked || 'the second'} /></a></th><th><span class="vh">Whether they differ</span></th></tr></thead>
        <tbody>{fact('Outcome', (r) => outcome(r.outcome ?? r.status)[1] + (r.rule ? ` by ${r.rule}` : ''))}{fact('Moved', (r) => (r.moved ?? []).map(amountText).join(', ') || 'nothing')}
          {fact('Model cost', (r) => usdText(r.cost_nano ?? 0))}{fact('Steps', (r) => String(r.steps))}{fact('Took', (r) => (r.closed ? `${((r.closed - r.opened) / 1000).toFixed(1)} s` : 'open'))}</tbody></table></div>}
      {rows.length ? <><h2 class="gap">{differ === 0 ? 'Every step says the same' : `${differ} ${differ === 1 ? 'line' : 'lines'} in one of them alone`}</h2>
        <div class="scroll" tabIndex={0} role="region" aria-label="Steps of both"><table class="both"><thead><tr><th>{ids[0]!.slice(-6)}</th><th>{ids[1]!.slice(-6)}</th></tr></thead>
          <tbody>{rows.slice(0, 2000).map(([l, r], i) => <tr key={i} class={l && r ? '' : 'alone'}><Side r={l} /><Side r={r} /></tr>)}</tbody></table></div>
        {rows.length > 2000 && <p class="sm mut">The first 2,000 lines of {rows.length}.</p>}</> : <Waits />}</>
  )
}

const names: Record<string, string> = { calls: 'Tool calls', tokens: 'Model tokens', cost: 'Model cost' }

/** A bar in whole percent: solid is spent, pale is reserved, empty is left. */
const Bar = ({ spent, reserved }: { spent: number; reserved: number }) => (
  <svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"><rect width={spent} height="6" class={spent > 85 ? 'w' : ''} /><rect class="held" x={spent} width={reserved} height="6" /></svg>
)

const share = (part: bigint, all: bigint): number => (all > 0n ? Math.min(100, Number((part * 100n) / all)) : 0)

const UseView = ({ u }: { u: wire.Use }) => {
  const [cap, spent, reserved] = [u.cap, u.spent, u.reserved].map((a) => BigInt(a.units)) as [bigint, bigint, bigint]
  const left = cap > spent + reserved ? cap - spent - reserved : 0n
  const unit = names[u.name] ? (u.name === 'cost' ? ' USD' : '') : ''
  const say = (n: bigint): string => decimal(n, u.cap.decimals) + unit
  return (
    <div class="lim"><div class="row sp"><span class="mut">{names[u.name] ?? u.cap.asset}</span><span class="nw"><b>{say(left)}</b> <span class="mut">left of {say(cap)}</span></span></div>
      <Bar spent={share(spent, cap)} reserved={share(reserved, cap)} />
      <p class="xs mut">{spent === 0n ? 'nothing spent' : `${say(spent)} spent`}{reserved > 0n && `, ${say(reserved)} reserved`}</p></div>
  )
}

const loadMandates = () => import('./mandates.tsx').then((m) => m.Mandates)

const SessionCard = ({ s, load }: { s: wire.Session; load: () => void }) => {
  const [sure, setSure] = useState(false)
  const ends = Math.min(s.expires, s.idle)
  const here = s.session === session.value?.info.session
  const l = s.limits
  return (
    <article class="card ses" aria-label={`Session of ${s.agent}`}><div class="row sp"><div><h2>{s.agent} {here && <Tag tone="ok" icon="check">this page</Tag>}</h2>
      <p class="sm mut">{s.device ? <><Strange of={s.device} />. </> : ''}Signed {when(s.opened)}{s.used ? `, last used ${time(s.used)}` : ''}{s.origin && `, for ${s.origin}`}</p></div>
      <div class="row"><Tag tone={ends - now.value < 600_000 ? 'warn' : 'ok'} icon="key">ends in {leftText(ends - now.value)}</Tag>
        {sure ? <button class="btn danger" onClick={() => void revoke(s.session).then(load)}>Revoke it now</button> : <button class="btn" onClick={() => setSure(true)}>Revoke…</button>}</div></div>
      <div class="lims4">{(s.uses ?? []).map((u) => <UseView key={u.name} u={u} />)}</div>
      {here && s.tools?.some((t) => t.startsWith('mandate.')) && <Later load={loadMandates} s={s} />}
      <details><summary class="sm">What you signed</summary><dl class="kv"><dt>Session</dt><dd><Id of={s.session} what="the session’s CID" /></dd><dt>Key</dt><dd class="mono xs">{s.key}</dd>
        <dt>Tools</dt><dd class="mono xs">{(s.tools ?? []).join(', ') || 'none'}</dd>
        {l?.max_per_call && <><dt>In one payment</dt><dd>at most {l.max_per_call.map(amountText).join(', ')}</dd></>}
        {l?.approve_above && <><dt>Asks above</dt><dd>{l.approve_above.map(amountText).join(', ')}</dd></>}
        <dt>Pays</dt><dd>{l?.recipients?.length ? l.recipients.map((r) => <Id key={r} of={r} what="the recipient" />) : 'anyone'}</dd></dl></details></article>
  )
}

export const SessionsPage = () => {
  const [list, setList] = useState<wire.Session[]>()
  const load = (): void => void listSessions().then((s) => setList(s ?? []))
  useEffect(load, [])
  if (!list) return <Waits />
  const isOver = (s: wire.Session): boolean => !!s.revoked || Math.min(s.expires, s.idle) < now.value
  const over = list.filter(isOver)
  return (
    <><div class="head"><div class="grow"><h1>Sessions</h1><p>Each is a permission that you signed, in use. Revoking one ends it at once, with everything that it has under way.</p></div></div>
      <div class="stack">{list.filter((s) => !isOver(s)).map((s) => <SessionCard key={s.session} s={s} load={load} />)}</div>
      {over.length > 0 && <><h2 class="gap">Ended</h2><div class="scroll" tabIndex={0} role="region" aria-label="Ended sessions"><table><thead><tr><th>Agent</th><th>How</th><th>Client</th><th class="num">Spent</th><th class="num">Signed</th><th class="num">Session</th></tr></thead>
        <tbody>{over.slice(0, 100).map((s) => <tr key={s.session}><td>{s.agent}</td><td class="nw">{s.revoked ? 'Revoked' : s.expires < now.value ? 'Ran out' : 'Not used for too long'}</td><td><Strange of={s.device ?? ''} /></td>
          <td class="num">{(s.uses ?? []).filter((u) => !names[u.name]).map((u) => amountText(u.spent)).join(', ')}</td><td class="num mut">{when(s.opened)}</td><td class="num"><Id of={s.session} what="the session’s CID" /></td></tr>)}</tbody></table></div></>}</>
  )
}
