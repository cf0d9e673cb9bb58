import { useState } from 'preact/hooks'
import type { wire } from '../../sdk/src/index.ts'
import { amountText, clock, decimal, shareOf } from './amounts.ts'
import { Icon, Id, Note } from './parts.tsx'
import { agents, connection, now, previewText, problem, signIn, type Wish } from './store.ts'
import { wallets, type Found } from './wallets.ts'

/** A limit with a slider whose most is what the agent asks for. */
const Clause = ({ n, label, of, step, set }: { n: number; label: preact.ComponentChildren; of: string; step: number; set(v: number): void }) => (
  <li class={`clause${step < 100 ? ' less' : ''}`}><span class="n">{n}</span>
    <div><label>{label}<input type="range" min="0" max="100" step="1" value={step} style={{ '--v': `${step}%` }} onInput={(e) => set(Number(e.currentTarget.value))} /></label></div>
    <span class="val">of {of}</span></li>
)

const Sheet = ({ agent, found, change }: { agent: wire.Agent; found: Found; change(): void }) => {
  const [steps, setSteps] = useState<Record<string, number>>({})
  const [text, setText] = useState('')
  const [busy, setBusy] = useState(false)
  const at = (k: string): number => steps[k] ?? 100
  const set = (k: string) => (v: number): void => setSteps({ ...steps, [k]: v })
  const l = agent.limits
  const narrow = (as: wire.Amount[] | undefined, k: string): wire.Amount[] | undefined =>
    as?.map((a) => ({ ...a, units: shareOf(a.units, at(k + a.asset), a.decimals) }))
  const total = narrow(l.max_total, 'total') ?? []
  const least = (a: wire.Amount, cap: wire.Amount | undefined): wire.Amount => (cap && BigInt(cap.units) < BigInt(a.units) ? { ...a, units: cap.units } : a)
  const perCall = narrow(l.max_per_call, 'call')?.map((a) => least(a, total.find((t) => t.asset === a.asset)))
  const above = narrow(l.approve_above, 'ask')
  const calls = l.max_calls && Math.max(1, Math.round((l.max_calls * at('calls')) / 100))
  const minutes = Math.max(5, Math.round((60 * at('life')) / 100))
  const chain = l.chains?.[0] ?? 1
  const wish: Wish = {
    agent: agent.name, chain, life: minutes * 60,
    limits: { max_total: total, ...(perCall && { max_per_call: perCall }), ...(above && { approve_above: above }), ...(calls && { max_calls: calls }) },
  }
  const until = clock(now.value + minutes * 60_000)
  let n = 1
  const sign = async (): Promise<void> => {
    setBusy(true)
    await signIn(found.provider, wish)
    setBusy(false)
  }
  const preview = async (): Promise<void> => {
    const request = (found.provider as { request?(a: { method: string }): Promise<unknown> }).request
    const account = ((await request?.call(found.provider, { method: 'eth_requestAccounts' })) as string[] | undefined)?.[0]
    if (account) setText(await previewText(account, wish))
  }
  return (
    <div class="sheet"><div>
      <p class="from row"><Icon of="wallet" /><span>{found.name}</span><button class="btn quiet" onClick={change}>Change</button></p>
      <h1>What <em>{agent.name}</em> may do for you</h1>
      <p class="lead">{agent.about} Narrow any limit before you sign. Nobody can widen one afterwards, not even this server.</p>
      <ol class="clauses">
        <li class="clause"><span class="n">{n++}</span><div>Use {agent.tools.length} tools.<details><summary class="xs">Which tools</summary><p class="mono xs mut">{agent.tools.join(', ')}</p></details></div></li>
        {(l.max_total ?? []).map((a) => <Clause key={a.asset} n={n++} of={amountText(a)} step={at('total' + a.asset)} set={set('total' + a.asset)}
          label={<>Spend at most <b>{amountText(total.find((t) => t.asset === a.asset)!)}</b> in total.</>} />)}
        {(l.max_per_call ?? []).map((a) => <Clause key={a.asset} n={n++} of={amountText(a)} step={at('call' + a.asset)} set={set('call' + a.asset)}
          label={<>Spend at most <b>{amountText(perCall!.find((t) => t.asset === a.asset)!)}</b> in one payment.</>} />)}
        {(l.approve_above ?? []).map((a) => <Clause key={a.asset} n={n++} of={amountText(a)} step={at('ask' + a.asset)} set={set('ask' + a.asset)}
          label={<>Ask me above <b>{amountText(above!.find((t) => t.asset === a.asset)!)}</b>. At 0 it asks for every payment.</>} />)}
        <li class={`clause${l.recipients?.length ? '' : ' open'}`}><span class="n">{n++}</span><div>{l.recipients?.length
          ? <>Pay only {l.recipients.map((r) => <Id key={r} of={r} what="the recipient" />)}</>
          : <>Pay anyone.<p class="xs warn"><Icon of="warn" /> Open: a payment below the amount that asks can go to an address that you have never seen.</p></>}</div></li>
        {!!l.max_calls && <Clause n={n++} of={`${l.max_calls} calls`} step={at('calls')} set={set('calls')} label={<>Make at most <b>{calls}</b> tool calls.</>} />}
        {!!l.max_cost_nano && <li class="clause"><span class="n">{n++}</span><div>Spend at most <b>{decimal(String(l.max_cost_nano), 9)} USD</b> on models{l.max_tokens ? <>, with at most {l.max_tokens.toLocaleString('en')} tokens</> : null}.</div></li>}
        <Clause n={n++} of="60 minutes" step={at('life')} set={set('life')} label={<>Act until <b>{until}</b>, {minutes} minutes from now.</>} />
      </ol>
      <p class="row xs mut">chain {chain} · agent <Id of={agent.cid} what="the agent’s CID" /> · rules <Id of={agent.rules} what="the rules’ CID" /></p>
    </div>
    <aside class="side2"><div class="stick card">
      <section class="worst"><h2>If everything goes wrong</h2>
        {total.map((a) => <p class="big" key={a.asset}>{decimal(a.units, a.decimals)}<small>{a.asset}</small></p>)}
        <p class="sm mut">leaves the agent’s account before <b>{until}</b>. Nothing leaves your wallet.</p></section>
      <section><h2>It can not</h2><ul class="cannot">
        <li><Icon of="x" />Take anything from your wallet</li>
        <li><Icon of="x" />Spend any token but {total.map((a) => a.asset).join(', ') || 'none'}</li>
        <li><Icon of="x" />Act on another chain than {(l.chains ?? [1]).join(', ')}</li>
        {!l.max_depth && <li><Icon of="x" />Call other agents</li>}
        <li><Icon of="x" />Act after you revoke it</li>
        <li><Icon of="x" />Act without a record that you can check</li></ul></section>
      <div class="act"><button class="btn pri big" disabled={busy} onClick={sign}>{busy ? 'Look at your wallet' : `Sign with ${found.name}`}</button>
        <p class="xs mut">One signature. It costs nothing and moves nothing.</p>
        <button class="btn quiet" onClick={() => void preview()}>Exact text</button></div>
    </div></aside>
    {text && <dialog open aria-labelledby="rt"><div class="row sp"><h2 id="rt">Exact text that your wallet shows</h2><button class="btn quiet" aria-label="Close" onClick={() => setText('')}><Icon of="x" /></button></div>
      <pre class="raw" tabIndex={0}>{text}</pre><p class="sm mut">It is bound to a key that this browser makes and no page can read, so a stolen signature is worthless.</p></dialog>}
    </div>
  )
}

export const Connect = () => {
  const [found, setFound] = useState<Found>()
  const [name, setName] = useState('')
  const agent = agents.value.find((a) => a.name === name) ?? agents.value[0]
  if (found && agent) return <Sheet key={agent.name} agent={agent} found={found} change={() => setFound(undefined)} />
  return (
    <div class="plain">
      <h1>Connect a wallet</h1>
      <p class="lead">An agent acts for you within limits that you sign, and leaves a record that anybody can check.</p>
      {agents.value.length > 1 && <div class="chips" role="group" aria-label="Agent">{agents.value.map((a) =>
        <button class="chip" key={a.name} aria-pressed={a.name === agent?.name} onClick={() => setName(a.name)}>{a.name}</button>)}</div>}
      {agent && <p class="mut sm">{agent.about}</p>}
      {wallets.value.length > 0 && <ul class="wl">{wallets.value.map((w) => (
        <li key={w.uuid}><button class="btn big" onClick={() => setFound(w)} disabled={!agent}>{w.icon ? <img src={w.icon} alt="" width="20" height="20" /> : <Icon of="wallet" />}{w.name}</button></li>))}</ul>}
      {wallets.value.length === 0 && <div class="card stack"><h2>No wallet announces itself here</h2>
        <p class="sm">Open this page in a browser that has a wallet, and load it again; any that follows EIP-6963 is found.</p>
        <p class="sm">Or sign in from a terminal: <code>writ login --server {location.origin}</code></p></div>}
      {connection.value !== 'open' && !problem.value && <p class="sm mut" role="status">Connecting to {location.host} …</p>}
      {agents.value.length === 0 && connection.value === 'open' && <Note tone="warn" icon="warn">This server runs no agent. Its operator adds one with <code>writ agents init</code>.</Note>}
    </div>
  )
}
