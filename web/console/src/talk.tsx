import { useEffect, useRef, useState } from 'preact/hooks'
import type { WaitingApproval } from '../../sdk/src/index.ts'
import { Icon, Id, Later, Note, Strange, Tag } from './parts.tsx'
import { keyOf, payments, type Payment as Call } from './payments.ts'
import { ask, live, pending, session, stop, turns, type Turn } from './store.ts'
import { outcome, type Story } from './story.ts'

export const Spine = ({ story }: { story: Story }) => (
  <ol class="spine">{story.rows.map((r, i) => (
    <li key={i}><span class="n">{r.step}</span><span class={`k ${r.tone}`}><Icon of={r.icon} /></span>
      <div class="x"><Strange of={r.text} /> {r.why && <span class="why"><Strange of={r.why} /></span>}
        {r.table.length > 0 && <details><summary class="xs mut">Exact values</summary><dl class="kv">{r.table.map(([k, v]) => <><dt>{k}</dt><dd class="mono"><Strange of={v} /></dd></>)}</dl></details>}</div>
      <span class="m"><Id of={r.cid} what="the step’s CID" /></span></li>
  ))}</ol>
)

/** What waits comes when something does. */
const loadApproval = () => import('./approve.tsx').then((m) => m.Approval)
const Approval = ({ a }: { a: WaitingApproval }) => <Later load={loadApproval} a={a} />
const loadPayment = () => import('./approve.tsx').then((m) => m.Payment)
const Payment = ({ c }: { c: Call }) => <Later load={loadPayment} c={c} />

export const Outcome = ({ reason }: { reason: string }) => {
  const [tone, word] = outcome(reason)
  return <Tag tone={tone} icon={{ ok: 'check', bad: 'deny', warn: 'warn', acc: 'pen', '': 'flag' }[tone]}>{word}</Tag>
}

const Denied = ({ story }: { story: Story }) => story.denied ? (
  <Note tone="deny" icon="deny"><b>Denied by {story.denied.rule}</b>{story.denied.rule.startsWith('grant/') ? ', a limit that you signed' : ', a rule of the operator'}
    {story.denied.atoms.length > 0 && <table class="atoms"><thead><tr><th>Asked</th><th class="num">Limit</th></tr></thead><tbody>
      {story.denied.atoms.map((a, i) => <tr key={i}><td>{a.left}</td><td class="num">{a.right}</td></tr>)}</tbody></table>}
    {story.denied.change && <p class="sm">What would change it: {story.denied.change}.</p>}</Note>
) : null

export const TurnView = ({ t, whole = false }: { t: Turn; whole?: boolean }) => {
  const open = !t.story.reason && !t.error
  return (
    <article class="turn" aria-label={`Run, ${t.story.reason || 'under way'}`}>
      <p class="ask"><Strange of={t.story.asked} /></p>
      {t.story.said && <p class="say"><Strange of={t.story.said} /></p>}
      {!t.story.said && t.draft && <p class="say typing" aria-busy="true"><Strange of={t.draft} /></p>}
      <Denied story={t.story} />
      {t.approvals.map((a) => <Approval key={a.step} a={a} />)}
      {open && payments.value.filter((c) => c.run === t.run).map((c) => <Payment key={keyOf(c)} c={c} />)}
      {t.error && <Note tone="bad" icon="warn"><b>{t.error.message}</b> {t.error.hint}</Note>}
      {open ? <><Spine story={t.story} />{!t.draft && !t.approvals.length && <p class="sm mut typing">{t.place ? `Waiting: place ${t.place} in the queue of the model` : 'Working'}</p>}</>
        : t.story.rows.length > 0 && <details open={whole}><summary class="sm mut"><Outcome reason={t.story.reason} /><span class="dim">{[
          `${t.story.last + 1} steps`, t.story.calls && `${t.story.calls} ${t.story.calls === 1 ? 'call' : 'calls'}`, t.story.spent && `${t.story.spent} spent`, t.story.cost].filter(Boolean).join(', ')}</span></summary><Spine story={t.story} />
          {t.run && !whole && <p class="sm"><a href={`#run/${t.run}`}>Look at the record</a></p>}</details>}
    </article>
  )
}

export const Talk = () => {
  const [text, setText] = useState('')
  const end = useRef<HTMLDivElement>(null)
  const s = session.value!
  const count = turns.value.length
  const waits = turns.value.reduce((n, t) => n + t.approvals.length + (t.story.said ? 1 : 0), 0)
  useEffect(() => { end.current?.scrollIntoView({ block: 'end' }) }, [count, waits])
  const submit = (): void => { ask(text); setText('') }
  const examples = ["what is alice's USDC balance?", 'send 5 USDC to bob', 'send 500 USDC to mallory']
  return (
    <div class="cons"><div class="thread"><h1 class="vh">Conversation with {s.info.agent}</h1>
      {pending.value.filter((a) => !turns.value.some((t) => t.run === a.run)).map((a) => <Approval key={a.step} a={a} />)}
      {payments.value.filter((c) => !turns.value.some((t) => t.run === c.run)).map((c) => <Payment key={keyOf(c)} c={c} />)}
      {count === 0 && <div class="card stack"><h2>Ask {s.info.agent}</h2><p class="sm mut">Each step is decided by rules, and becomes a record that you can check. For instance:</p>
        <div class="chips">{examples.map((e) => <button class="chip" key={e} onClick={() => ask(e)}>{e}</button>)}</div></div>}
      {turns.value.map((t) => <TurnView key={t.id} t={t} />)}
      <form class="composer" onSubmit={(e) => { e.preventDefault(); submit() }}>
        <label class="grow"><span class="vh">Ask {s.info.agent}</span><textarea class="in" rows={1} placeholder={`Ask ${s.info.agent}`} value={text} onInput={(e) => setText(e.currentTarget.value)}
          onKeyDown={(e) => { if (e.key === 'Enter' && !e.shiftKey) { e.preventDefault(); submit() } }} /></label>
        {live.value ? <button class="btn" type="button" onClick={stop}>Stop</button> : <button class="btn pri" disabled={!text.trim()}>Ask</button>}
      </form><div ref={end} /></div></div>
  )
}
