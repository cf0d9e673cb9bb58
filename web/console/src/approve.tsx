// What waits for the wallet; loaded when something does.
import { Fragment } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import type { WaitingApproval, wire } from '../../sdk/src/index.ts'
import { decimal, leftText } from './amounts.ts'
import { Full, Icon, Id, Later, Strange, Tag } from './parts.tsx'
import { forget, keyOf, payCall, payments, toldOf, type Payment as Call } from './payments.ts'
import { approve, asking, loadApprovals, now, pending, refuse } from './store.ts'
import type { Summary } from './story.ts'

/** What would move by its simulation, balances before and after, and where that is not what the call says. */
const Moves = ({ s, own }: { s: Summary; own?: string }) => (
  <>
      {(s.changes?.changes ?? []).length > 0 && <table><thead><tr><th>Account</th><th class="num">Now</th><th class="num">Change</th><th class="num">After</th></tr></thead>
        <tbody>{s.changes!.changes!.map((c) => <tr key={c.account}><td>{c.name ? <Strange of={c.name} /> : own && c.account.toLowerCase() === own.toLowerCase() ? 'Your wallet' : <Id of={c.account} what="the account" />}</td>
          <td class="num">{decimal(c.before, c.decimals)}</td><td class="num">{c.display.replace('-', '−')}</td><td class="num">{decimal(c.after, c.decimals)}</td></tr>)}</tbody></table>}
      {s.asked && <p class="sm warn"><Icon of="warn" /> The call says {s.asked}. By its simulation {s.debit} would leave the account{s.over && <>, <b>{s.over} beyond the call</b>,</>} and {s.credit} would arrive{s.others ? `; ${s.others} ${s.others === 1 ? 'transfer or allowance' : 'transfers or allowances'} to others` : ''}.</p>}
      {s.simulated && s.simulated !== 'read' && <p class="sm warn"><Icon of="warn" /> These balances are computed, since no endpoint of the chain simulates.</p>}
  </>
)

const Why = ({ s }: { s: Summary }) => <>{(s.why ?? []).map((w) => <p class="sm mut" key={w}>Why you are asked: <Strange of={w} /></p>)}</>

/** What waits for the wallet: one line of what moves, balances before and after, and the exact values. */
export const Approval = ({ a }: { a: WaitingApproval }) => {
  const [why, setWhy] = useState<string>()
  const [busy, setBusy] = useState(false)
  const s = (a.summary ?? {}) as Summary
  const left = a.until - now.value
  const act = async (f: () => Promise<unknown>): Promise<void> => { setBusy(true); await f(); setBusy(false) }
  const danger = a.findings.some((f) => f.tone === 'stop') // a look-alike or a disguise: the first button refuses
  const named = a.name ?? s.changes?.changes?.find((c) => c.account === s.to)?.name
  return (
    <section class="wait" role="group" aria-label={`Approval: ${s.text ?? 'a call'}`}>
      <div class="row sp"><Tag tone="acc" icon="pen">Waiting for your wallet</Tag><span class="sm mut">{left > 0 ? `${leftText(left)} left` : 'its time is over'}</span></div>
      <p class="moves"><b>{s.amount ?? s.tool ?? 'A call'}</b>{s.to && <> to <b>{named ? <Strange of={named} /> : <Id of={s.to} what="the payee" />}</b></>}</p>
      {s.to && <p class="sm">Payee in full: <Full of={s.to} /></p>}
      <Moves s={s} />
      <ul class="finds">{a.findings.filter((f) => f.kind !== 'reserve').map((f) => <li key={f.kind} class={f.tone}><Icon of={f.tone === 'plain' ? 'check' : 'warn'} /><span>{f.tone === 'stop' && <b>Stop. </b>}<Strange of={f.text} /></span></li>)}</ul>
      <Why s={s} />
      <details><summary class="xs mut">Exact values</summary><dl class="kv">{Object.entries(s.args ?? {}).map(([k, v]) => <><dt>{k}</dt><dd class="mono"><Strange of={typeof v === 'string' ? v : JSON.stringify(v)} /></dd></>)}</dl></details>
      {why === undefined
        ? <div class={danger ? 'row rev' : 'row'}><button class={danger ? 'btn danger' : 'btn pri'} disabled={busy || left <= 0} onClick={() => void act(() => approve(a))}>{busy ? 'Look at your wallet' : danger ? 'Approve all the same' : 'Approve'}</button>
          <button class={danger ? 'btn pri' : 'btn'} disabled={busy} onClick={() => setWhy('')}>Refuse…</button>
          <span class="xs mut grow">{a.findings.find((f) => f.kind === 'reserve')?.text ?? 'Nothing moves until you approve.'}</span></div>
        : <form class="row" onSubmit={(e) => { e.preventDefault(); void act(() => refuse(a, why)) }}><label class="grow"><span class="vh">Reason</span>
          <input class="in" autofocus maxLength={200} placeholder="Why not? It is written into the record." value={why} onInput={(e) => setWhy(e.currentTarget.value)} /></label>
          <button class="btn danger" disabled={busy}>Refuse</button><button class="btn quiet" type="button" onClick={() => setWhy(undefined)}>Back</button></form>}
    </section>
  )
}

/** What the user's own wallet is asked to send: in words, and exactly. The wallet shows it too, and sends it or not. */
export const Payment = ({ c }: { c: Call }) => {
  const [busy, setBusy] = useState(false)
  const s = (c.summary ?? {}) as Summary
  const named = s.changes?.changes?.find((x) => x.account === s.to)?.name
  const t = toldOf(c)
  const act = async (): Promise<void> => { setBusy(true); await payCall(c); setBusy(false) }
  return (
    <section class="wait" role="group" aria-label={`Payment: ${c.text}`}>
      <div class="row sp"><Tag tone="acc" icon="wallet">From your own wallet</Tag><span class="sm mut">chain {c.chain}</span></div>
      <p class="moves">{s.amount && s.to ? <><b>{s.amount}</b> to <b>{named ? <Strange of={named} /> : <Id of={s.to} what="the payee" />}</b></> : <b><Strange of={c.text} /></b>}</p>
      {s.amount && s.to && <p class="sm">Payee in full: <Full of={s.to} /></p>}
      <Moves s={s} own={c.from} />
      <Why s={s} />
      <p class="sm">Your wallet <Id of={c.from} what="your address" /> sends this itself: no key of it is here, and nothing moves until it has. The run waits for 15 minutes at most, and Stop ends it.</p>
      <details><summary class="xs mut">Exactly what it is asked to send</summary><dl class="kv"><dt>Call</dt><dd><Strange of={c.text} /></dd><dt>To</dt><dd><Full of={c.to} />{s.to && s.to.toLowerCase() !== c.to.toLowerCase() && <span class="mut sm"> the contract</span>}</dd>
        <dt>Value</dt><dd class="mono">{decimal(BigInt(c.value || '0x0').toString(), 18)} of the chain’s coin</dd><dt>Data</dt><dd class="mono xs">{c.data}</dd>
        {c.parts?.map((p, i) => <Fragment key={i}><dt>Call {i + 1}</dt><dd class="mono xs"><Full of={p.to} /> {p.data}</dd></Fragment>)}</dl>
        {c.parts && <p class="sm">Your account makes these calls by one transaction to itself, all of them or none.</p>}</details>
      {t?.batch ? <div class="row" role="status"><p class="sm grow"><Icon of="sync" /> Your wallet has it as a batch, and has not told its transaction yet. It is not sent again.</p>
          <button class="btn" disabled={busy} onClick={() => void act()}>{busy ? 'It is asked' : 'Ask your wallet what became of it'}</button></div>
        : t ? <div role="status"><p class="sm"><Icon of="sync" /> Sent by your wallet as <Id of={t.hash ?? ''} what="the transaction’s hash" /> </p><p class="sm">The run goes on when the chain has it; your wallet can speed it up or cancel it.</p>
        {t.refused && <p class="sm warn"><Icon of="warn" /> <Strange of={t.refused} /></p>}
          {t.other && <button class="btn" onClick={() => forget(c)}>Send another one</button>}</div>
        : <div class="row"><button class="btn pri" disabled={busy} onClick={() => void act()}>{busy ? 'Look at your wallet' : 'Pay with your wallet'}</button>
          <span class="xs mut grow">To refuse, refuse it in the wallet, and stop the run.</span></div>}
    </section>
  )
}

const loadQuestion = () => import('./asks.tsx').then((m) => m.Question)

export const Waiting = () => {
  useEffect(() => { void loadApprovals() }, [])
  const [done, setDone] = useState<wire.Run[]>([]) // answered here: they say so until the page is left
  const asks = [...done, ...asking.value.filter((r) => r.asks && !done.some((d) => d.run === r.run && d.asks!.of.seq === r.asks!.of.seq))]
  return (
  <><div class="head"><div class="grow"><h1>What waits for you</h1><p>Calls that your wallet approves or refuses, payments that it makes itself, and questions of your agents. Each stays good until its time is over, whatever you do meanwhile. Nothing is reserved for a call until you approve it.</p></div></div>
    {asks.map((r) => <Later key={`${r.run}.${r.asks!.of.seq}`} load={loadQuestion} run={r.run} agent={r.agent} asked={r.asked} q={r.asks} done={() => setDone((d) => [...d, r])} late={() => setDone((d) => [...d, r])} />)}
    {payments.value.map((c) => <Payment key={keyOf(c)} c={c} />)}
    {pending.value.length + payments.value.length + asks.length === 0 ? <div class="card"><h2>Nothing waits for you</h2><p class="sm mut">A payment above the amount that asks would stand here, with its balances before and after, and what an agent asks you.</p></div>
      : pending.value.map((a) => <Approval key={a.step} a={a} />)}</>
  )
}
