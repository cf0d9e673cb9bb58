import { useEffect, useRef, useState } from 'preact/hooks'
import type { WaitingApproval, wire } from '../../sdk/src/index.ts'
import { Icon, Id, Later, Note, Strange, Tag } from './parts.tsx'
import { keyOf, payments, type Payment as Call } from './payments.ts'
import { agents, asking, bag, live, pending, session, turns, type Turn } from './store.ts'
import { filesText, outcome, type Story } from './story.ts'
import { ask, stop, takeUp } from './turns.ts'

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
const loadQuestion = () => import('./asks.tsx').then((m) => m.Question)
const loadBag = () => import('./files.tsx').then((m) => m.Bag)
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
      {t.story.files.length > 0 && <p class="sm mut"><Icon of="clip" /> <Strange of={filesText(t.story.files)} /></p>}
      {t.story.said && <p class="say"><Strange of={t.story.said} /></p>}
      {!t.story.said && t.draft && <p class="say typing" aria-busy="true"><Strange of={t.draft} /></p>}
      <Denied story={t.story} />
      {t.approvals.map((a) => <Approval key={a.step} a={a} />)}
      {open && t.run && t.story.asks && <Later key={`${t.story.asks.of.seq}.${t.story.asks.of.index}`} load={loadQuestion} run={t.run} agent={session.value?.info.agent ?? 'The agent'} q={t.story.asks} />}
      {open && payments.value.filter((c) => c.run === t.run).map((c) => <Payment key={keyOf(c)} c={c} />)}
      {t.error && <Note tone="bad" icon="warn"><b>{t.error.message}</b> {t.error.hint}</Note>}
      {open ? <><Spine story={t.story} />{!t.draft && !t.approvals.length && !t.story.asks && <p class="sm mut typing">{t.place ? `Waiting: place ${t.place} in the queue of the model` : 'Working'}</p>}</>
        : t.story.rows.length > 0 && <details open={whole}><summary class="sm mut"><Outcome reason={t.story.reason} /><span class="dim">{[
          `${t.story.last + 1} steps`, t.story.calls && `${t.story.calls} ${t.story.calls === 1 ? 'call' : 'calls'}`, t.story.spent && `${t.story.spent} spent`, t.story.cost].filter(Boolean).join(', ')}</span></summary><Spine story={t.story} />
          {t.run && !whole && <p class="sm"><a href={`#run/${t.run}`}>Look at the record</a></p>}</details>}
    </article>
  )
}

/** Which question of which run it is: the next one of a run is another card, without what was written for the one before. */
const askOf = (r: wire.Run): string => `${r.run}.${r.asks?.of.seq}.${r.asks?.of.index}`

export const Talk = () => {
  const [text, setText] = useState('')
  const end = useRef<HTMLDivElement>(null)
  const s = session.value!
  const count = turns.value.length
  const waits = turns.value.reduce((n, t) => n + t.approvals.length + (t.story.asks ? 1 : 0) + (t.story.said ? 1 : 0), 0)
  useEffect(() => { end.current?.scrollIntoView({ block: 'end' }) }, [count, waits])
  const [over, setOver] = useState(false)
  const [late, setLate] = useState<wire.Run[]>([]) // whose questions were over when they were answered: the card says so
  const [some, setSome] = useState(bag.value.length > 0) // whether a file was ever given: what shows them is loaded then
  const pick = useRef<HTMLInputElement>(null)
  const add = async (files: Iterable<File>): Promise<void> => {
    const list = [...files]
    if (!list.length) return
    setSome(true)
    await (await import('./files.tsx')).add(list)
  }
  const going = useRef(false) // while files are sent: Enter again would ask the same a second time
  const submit = async (): Promise<void> => {
    const words = text
    if (!words.trim() || going.current) return
    going.current = true
    try {
      const files = some ? await (await import('./files.tsx')).take() : []
      if (!files) return
      ask(words, files)
      setText((now) => (now === words ? '' : now))
    } finally {
      going.current = false
    }
  }
  const isFiles = (e: DragEvent): boolean => !!e.dataTransfer?.types.includes('Files')
  const tools = agents.value.find((a) => a.name === s.info.agent)?.tools ?? []
  const examples = [['erc20.balance', "what is alice's USDC balance?"], ['erc20.transfer', 'send 5 USDC to bob'], ['erc20.transfer', 'send 500 USDC to mallory']]
    .flatMap(([tool, words]) => (tools.includes(tool!) ? [words!] : []))
  return (
    <div class="cons"><div class={over ? 'thread over' : 'thread'} onDragOver={(e) => { if (isFiles(e)) { e.preventDefault(); setOver(true) } }}
      onDragLeave={(e) => { if (!e.currentTarget.contains(e.relatedTarget as Node | null)) setOver(false) }}
      onDrop={(e) => { if (isFiles(e)) { e.preventDefault(); setOver(false); void add(e.dataTransfer!.files) } }}><h1 class="vh">Conversation with {s.info.agent}</h1>
      {pending.value.filter((a) => !turns.value.some((t) => t.run === a.run)).map((a) => <Approval key={a.step} a={a} />)}
      {[...late, ...asking.value].filter((r, i, all) => r.asks && all.findIndex((x) => askOf(x) === askOf(r)) === i && !turns.value.some((t) => t.run === r.run)).map((r) => <Later key={askOf(r)} load={loadQuestion} run={r.run} agent={r.agent} asked={r.asked} q={r.asks} done={() => takeUp(r)} late={() => setLate((l) => [...l, r])} />)}
      {payments.value.filter((c) => !turns.value.some((t) => t.run === c.run)).map((c) => <Payment key={keyOf(c)} c={c} />)}
      {count === 0 && <div class="card stack"><h2>Ask {s.info.agent}</h2><p class="sm mut">Each step is decided by rules, and becomes a record that you can check.{examples.length > 0 && ' For instance:'}</p>
        <div class="chips">{examples.map((e) => <button class="chip" key={e} onClick={() => ask(e)}>{e}</button>)}</div></div>}
      {turns.value.map((t) => <TurnView key={t.id} t={t} />)}
      <form class="composer" onSubmit={(e) => { e.preventDefault(); void submit() }}>
        {some && <div class="over-composer"><Later load={loadBag} /></div>}
        <input ref={pick} type="file" multiple hidden accept="image/png,image/jpeg,image/webp,image/gif,text/*,application/json,.md,.csv,.json" onChange={(e) => { void add(e.currentTarget.files ?? []); e.currentTarget.value = '' }} />
        <button class="btn quiet" type="button" aria-label="Attach files" title="Attach files: drop or paste them here too" onClick={() => pick.current?.click()}><Icon of="clip" /></button>
        <label class="grow"><span class="vh">Ask {s.info.agent}</span><textarea class="in" rows={1} placeholder={`Ask ${s.info.agent}`} value={text} onInput={(e) => setText(e.currentTarget.value)}
          onKeyDown={(e) => { if (e.key === 'Enter' && !e.shiftKey) { e.preventDefault(); void submit() } }} onPaste={(e) => { const files = e.clipboardData?.files; if (files?.length) { e.preventDefault(); void add(files) } }} /></label>
        {live.value ? <button class="btn" type="button" onClick={stop}>Stop</button> : <button class="btn pri" disabled={!text.trim()}>Ask</button>}
      </form><div ref={end} /></div></div>
  )
}
