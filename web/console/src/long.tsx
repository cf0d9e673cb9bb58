// A run of thousands of steps: a list of which only what is in view is there, and a strip that shows all of it.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { Icon, Id, Strange } from './parts.tsx'
import { outcome, type Row, type Tone } from './story.ts'
import type { Turn } from './store.ts'

const height = 36 // of a row, as in style.css
const buckets = 250
const weight: Record<Tone, number> = { '': 0, ok: 1, acc: 2, warn: 3, bad: 4 }
const kinds: [string, string, (r: Row) => boolean][] = [
  ['all', 'All', () => true],
  ['trouble', 'Denied or failed', (r) => r.tone === 'bad' || r.tone === 'warn'],
  ['wallet', 'Your wallet', (r) => r.icon === 'pen' || r.icon === 'check' || r.icon === 'x'],
  ['models', 'Models', (r) => r.icon === 'route'],
  ['results', 'Results', (r) => r.icon === 'result'],
]

/** For each part of the run the gravest row in it. */
const gravest = (rows: Row[], steps: number): Tone[] => {
  const out: Tone[] = Array.from({ length: buckets }, () => '')
  for (const r of rows) {
    const i = Math.min(buckets - 1, Math.floor((r.step * buckets) / Math.max(1, steps)))
    if (weight[r.tone] > weight[out[i]!]) out[i] = r.tone
  }
  return out
}

export const LongRun = ({ t, steps }: { t: Turn; steps: number }) => {
  const box = useRef<HTMLDivElement>(null)
  const [top, setTop] = useState(0)
  const [tall, setTall] = useState(600)
  const [kind, setKind] = useState('all')
  const [at, setAt] = useState(0)
  const all = t.story.rows
  const count = all.length
  const rows = useMemo(() => (kind === 'all' ? all : all.filter(kinds.find((k) => k[0] === kind)![2])), [kind, count])
  const colours = useMemo(() => gravest(all, steps), [Math.floor(count / 500), t.story.reason, steps])
  useEffect(() => { if (box.current) setTall(box.current.clientHeight) }, [])
  const show = (i: number): void => {
    const n = Math.max(0, Math.min(rows.length - 1, i))
    setAt(n)
    const b = box.current
    if (b && (n * height < b.scrollTop || (n + 1) * height > b.scrollTop + b.clientHeight)) b.scrollTop = Math.max(0, n * height - b.clientHeight / 2)
  }
  const showStep = (step: number): void => {
    const i = rows.findIndex((r) => r.step >= step)
    show(i < 0 ? rows.length - 1 : i)
  }
  const keys = (e: KeyboardEvent): void => {
    const by: Record<string, number> = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: 15, PageUp: -15, Home: -rows.length, End: rows.length }
    const n = by[e.key]
    if (n === undefined || e.ctrlKey || e.metaKey || e.altKey) return
    e.preventDefault()
    show(at + n)
  }
  const first = Math.max(0, Math.floor(top / height) - 8)
  const shown = rows.slice(first, first + Math.ceil(tall / height) + 16)
  const chosen = rows[at]
  const loaded = t.story.last + 1
  return (
    <section aria-label={`Run of ${steps} steps`}>
      <p class="ask"><Strange of={t.story.asked} /></p>
      {t.story.said && <p class="say"><Strange of={t.story.said} /></p>}
      <div class="filters"><div class="chips" role="group" aria-label="Show">{kinds.map(([id, word]) => <button class="chip" key={id} aria-pressed={kind === id} onClick={() => { setKind(id); setAt(0); if (box.current) box.current.scrollTop = 0 }}>{word}</button>)}</div>
        <label class="row sm">Go to step <input class="in go" type="number" min={0} max={steps - 1} onChange={(e) => showStep(Number(e.currentTarget.value))} /></label></div>
      <svg class="strip" viewBox={`0 0 ${buckets} 10`} preserveAspectRatio="none" role="img" aria-label="The whole run; what was denied or failed stands out"
        onClick={(e) => { const r = e.currentTarget.getBoundingClientRect(); showStep(Math.floor(((e.clientX - r.left) / r.width) * steps)) }}>
        {colours.map((c, i) => (i * steps) / buckets < loaded && <rect key={i} class={c} x={i} width={0.8} y={10 - 2 - weight[c] * 2} height={2 + weight[c] * 2} />)}</svg>
      <p class="xs mut" role="status">{t.story.reason ? `${rows.length.toLocaleString('en')} lines of ${steps.toLocaleString('en')} steps. Closed: ${outcome(t.story.reason)[1].toLowerCase()}.` : `${loaded.toLocaleString('en')} of ${steps.toLocaleString('en')} steps are here.`}</p>
      <div class="virtual" ref={box} tabIndex={0} role="listbox" aria-label="Steps; arrows move" aria-activedescendant={chosen && `row-${at}`}
        onScroll={(e) => setTop(e.currentTarget.scrollTop)} onKeyDown={keys}>
        <div role="presentation" style={{ height: `${rows.length * height}px` }}>
          {shown.map((r, i) => (
            <div class={first + i === at ? 'vr cur' : 'vr'} key={first + i} id={`row-${first + i}`} role="option" aria-selected={first + i === at} aria-setsize={rows.length} aria-posinset={first + i + 1}
              style={{ transform: `translateY(${(first + i) * height}px)` }} onClick={() => setAt(first + i)}>
              <span class="n">{r.step}</span><span class={`k ${r.tone}`}><Icon of={r.icon} /></span><span class="x"><Strange of={r.text} /> {r.why && <span class="mut"><Strange of={r.why} /></span>}</span></div>
          ))}</div></div>
      {chosen && <section class="card" aria-label={`Step ${chosen.step}`}><div class="row sp"><h2>Step {chosen.step}</h2><Id of={chosen.cid} what="the step’s CID" /></div>
        <p><Strange of={chosen.text} /></p>{chosen.why && <p class="sm mut"><Strange of={chosen.why} /></p>}
        {chosen.table.length > 0 && <dl class="kv">{chosen.table.map(([k, v]) => <><dt>{k}</dt><dd class="mono xs"><Strange of={v.slice(0, 4000)} /></dd></>)}</dl>}</section>}
    </section>
  )
}
