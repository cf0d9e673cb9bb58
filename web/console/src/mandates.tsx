// What the agent may pay from the user's own account, by delegations that contracts keep (ERC-7710). Loaded in the list of
// sessions, for this page's own, if its agent has tools that pay so.
import { useEffect, useState } from 'preact/hooks'
import type { wire } from '../../sdk/src/index.ts'
import { askMandate, giveMandate, mandates, revokeMandate } from '../../sdk/src/mandate.ts'
import type { Provider } from '../../sdk/src/wallet.ts'
import { Full, Icon, Id, Strange, Tag } from './parts.tsx'
import { attempt, said, session, signer } from './store.ts'
import type { Tone } from './story.ts'

type Given = wire.GivenMandate

const states: Record<string, readonly [Tone, string, string]> = {
  open: ['ok', 'check', 'In force'], revoked: ['', 'x', 'Revoked on the chain'], unknown: ['warn', 'warn', 'The chain was not asked'],
}

const patience = 5 * 60_000 // with a transaction, in ms

/** Whether the wallet's chain has a transaction that has failed. */
const hasFailed = async (hash: string): Promise<boolean> => {
  try {
    const receipt = await ((await signer()) as Provider).request({ method: 'eth_getTransactionReceipt', params: [hash] })
    return Number((receipt as { status?: string } | null)?.status ?? 1) === 0
  } catch {
    return false // it tells no receipts
  }
}

const GivenView = ({ m, load }: { m: Given; load: () => Promise<unknown> }) => {
  const [sure, setSure] = useState(false)
  const [hash, setHash] = useState('')
  const [failed, setFailed] = useState('')
  const [busy, setBusy] = useState(false)
  const own = session.value?.info.account.toLowerCase() === m.delegator.toLowerCase()
  const [tone, icon, word] = states[m.state] ?? states.unknown!
  const act = async (f: () => Promise<unknown>): Promise<void> => { setBusy(true); await attempt(f); setBusy(false); setSure(false) }
  const revoke = () => act(async () => {
    setFailed('')
    setHash(await revokeMandate((await signer()) as Provider, m))
    said.value = 'Sent by your wallet.'
  })
  const forget = () => act(async () => {
    await session.value!.call('mandate.forget', { hash: m.hash })
    await load()
  })
  useEffect(() => { // until the chain has it
    if (!hash || m.state === 'revoked') return
    const since = Date.now()
    const giveUp = (why: string): void => { setHash(''); setFailed(why) }
    const timer = setInterval(() => void (async () => {
      if (await hasFailed(hash)) giveUp('The transaction failed, and nothing was revoked.')
      else if (Date.now() - since > patience) giveUp('The chain does not show the transaction yet. Look at your wallet, which can speed it up, before you send another one.')
      await load()
    })(), 2000)
    return () => clearInterval(timer)
  }, [hash, m.state])
  return (
    <div role="group" aria-label={`Delegation of ${m.token}`}><div class="row sp"><b>{m.token}</b><Tag tone={tone} icon={icon}>{word}</Tag></div>
      <p class="sm"><Strange of={m.text} /></p>{m.spent && <p class="sm mut">Spent by the chain’s count: <Strange of={m.spent} /></p>}
      {(m.notes ?? []).map((n) => <p class="sm warn" key={n}><Icon of="warn" /> <Strange of={n} /></p>)}
      <details><summary class="xs mut">Exactly</summary><dl class="kv"><dt>Pays</dt><dd><Full of={m.delegator} /></dd><dt>Chain</dt><dd>{m.chain}</dd><dt>Hash</dt><dd><Id of={m.hash} what="the delegation’s hash" /></dd><dt>Kept by</dt><dd><Full of={m.manager} /></dd></dl></details>
      {failed && m.state !== 'revoked' && <p class="sm warn" role="alert"><Icon of="warn" /> {failed}</p>}
      {sure && !own && <p class="sm warn"><Icon of="warn" /> Only the account that pays can revoke it, and it is not the one that you signed in with. Choose <Full of={m.delegator} /> in your wallet, or send this through that account, on chain {m.chain}: to <Full of={m.manager} />, the data <span class="mono xs">{m.revoke}</span>.</p>}
      {m.state !== 'revoked' && (hash ? <p class="sm" role="status"><Icon of="sync" /> Sent by your wallet as <Id of={hash} what="the transaction’s hash" />. It is over when the chain has it.</p>
        : sure ? <div class="row"><button class="btn danger" disabled={busy} onClick={() => void revoke()}>{busy ? 'Look at your wallet' : 'Revoke it on the chain'}</button>
          <button class="btn" disabled={busy} onClick={() => void forget()}>Only have this server forget it</button><button class="btn quiet" disabled={busy} onClick={() => setSure(false)}>Back</button></div>
          : <button class="btn" onClick={() => setSure(true)}>End it…</button>)}</div>
  )
}

const Wish = ({ token, load }: { token: string; load: () => Promise<unknown> }) => {
  const [account, setAccount] = useState('')
  const [asked, setAsked] = useState<wire.MandateAsk>()
  const [busy, setBusy] = useState(false)
  const act = async (f: () => Promise<unknown>): Promise<void> => { setBusy(true); await attempt(f); setBusy(false) }
  const ask = () => act(async () => setAsked(await askMandate(session.value!, { token, ...(account.trim() && { account: account.trim() }) })))
  const give = () => act(async () => {
    await giveMandate(session.value!, (await signer()) as Provider, asked!)
    said.value = 'Handed over.'
    await load()
  })
  if (!asked) {
    return (
      <form class="row" onSubmit={(e) => { e.preventDefault(); void ask() }}><button class="btn" disabled={busy}>Let it pay {token}…</button>
        <label class="grow"><span class="xs mut">From another account that your wallet owns, if not from itself</span><input class="in" autocomplete="off" spellcheck={false} placeholder="0x…" value={account} onInput={(e) => setAccount(e.currentTarget.value)} /></label></form>
    )
  }
  return (
    <div role="group" aria-label={`Delegate ${token}`}><p class="sm"><Strange of={asked.text} /></p><p class="sm">Pays: <Full of={asked.mandate.delegator} /></p>
      {!asked.smart && <p class="sm warn"><Icon of="warn" /> This account has no code yet: nothing can be paid from it until your wallet has made it a smart account (EIP-7702).</p>}
      <div class="row"><button class="btn pri" disabled={busy} onClick={() => void give()}>{busy ? 'Look at your wallet' : 'Allow it with your wallet'}</button>
        <button class="btn quiet" disabled={busy} onClick={() => setAsked(undefined)}>Back</button></div></div>
  )
}

/** The delegations of this page's session, one a token, and what makes one. */
export const Mandates = ({ s }: { s: wire.Session }) => {
  const [list, setList] = useState<Given[]>()
  const load = (): Promise<unknown> => attempt(async () => setList(await mandates(session.value!)))
  useEffect(() => void load(), [])
  if (!list) return null
  const tokens = (s.limits?.max_total ?? []).map((a) => a.asset).filter((t) => !list.some((m) => m.token === t && m.state !== 'revoked'))
  return (
    <section class="mandates" aria-label="Paid from your own account"><h3>Paid from your own account</h3>
      <p class="sm mut">You sign, once, what your account lets the agent pay. A contract on the chain keeps to it, whatever this server does.</p>
      {list.map((m) => <GivenView key={m.hash} m={m} load={load} />)}{tokens.map((t) => <Wish key={t} token={t} load={load} />)}</section>
  )
}
