import { useState } from 'preact/hooks'
import { audit, isSnapshot, type Audited } from './auditor.ts'
import { Icon, Id, Note } from './parts.tsx'
import { said } from './store.ts'
import { verify, type Reading } from '../../sdk/src/verify.ts'

/** What each check of the reader says, in words. */
const checks: Record<string, string> = {
  grant: 'The wallet signed this permission, and its sentence says what its limits are.',
  request: 'The request is signed by the key that the wallet named.',
  approvals: 'Each approval is signed by the wallet, over exactly this call.',
  arguments: 'The arguments of each call are in their one spelling, of which approvals have the hash.',
  cover: 'The permission covers the tools, the times and the page.',
  delegations: 'Each sub-agent acted under a delegation that its caller signed.',
}

const leftWords: Record<string, string> = {
  decisions: 'that every decision follows from the rules', context: 'what the model was shown', replies: 'that the answers are the bytes of the provider',
  totals: 'the sums', transfers: 'that what moved on the chain is what was asked', log: 'that no other history of this run exists',
}

/** Checks a file in this page: nothing is sent anywhere, and no server is asked. */
export const Check = () => {
  const [files, setFiles] = useState<{ car?: File; keys?: File; snapshots: File[] }>({ snapshots: [] })
  const [operator, setOperator] = useState('')
  const [found, setFound] = useState<Reading>()
  const [audited, setAudited] = useState<Audited>()
  const [busy, setBusy] = useState('')
  const take = async (list: FileList | null | undefined): Promise<void> => {
    const next = { ...files }
    const snapshots: File[] = []
    for (const f of [...list ?? []]) { // a drop's list is gone when this function waits
      if (f.name.endsWith('.json')) next.keys = f
      else if (await isSnapshot(f)) snapshots.push(f)
      else next.car = f
    }
    if (snapshots.length) next.snapshots = snapshots.slice(0, 8)
    setFound(undefined)
    setAudited(undefined)
    setFiles(next)
  }
  const bytes = async (f: File): Promise<Uint8Array<ArrayBuffer>> => new Uint8Array(await f.arrayBuffer())
  const recompute = async (): Promise<void> => {
    setBusy('audit')
    setAudited(undefined)
    const a = await audit(await bytes(files.car!), files.keys ? await files.keys.text() : '', operator.trim(), await Promise.all(files.snapshots.map(bytes)))
    setAudited(a)
    said.value = a.unloaded ?? a.error ?? `The auditor says: ${a.text!.split('\n', 1)[0]}`
    setBusy('')
  }
  const check = async (): Promise<void> => {
    setBusy('check')
    const r = await verify(await bytes(files.car!), { ...(files.keys && { keys: await files.keys.text() }), operatorKey: operator.trim() })
    setFound(r)
    said.value = r.ok ? 'Nothing is wrong in what was checked.' : 'The file does not hold.'
    setBusy('')
  }
  return (
    <><div class="head"><div class="grow"><h1>Check a record</h1><p>In this page, by a reader that was written from the format’s description alone. Nothing is sent anywhere, and it goes on working when this server is gone. The auditor, which makes every decision again, is loaded when you ask for it.</p></div></div>
      <form class="card stack" onSubmit={(e) => { e.preventDefault(); void check() }}
        onDragOver={(e) => e.preventDefault()} onDrop={(e) => { e.preventDefault(); void take(e.dataTransfer?.files) }}>
        <label>The record (.car), its keys (.json) and the passages of its searches (.car of writ docs snapshot) if you have them: choose them together, or drop them here
          <input class="in" type="file" multiple accept=".car,.json" onChange={(e) => void take(e.currentTarget.files)} /></label>
        <p class="sm mut">{files.car ? files.car.name : 'no record yet'}{files.keys ? `, ${files.keys.name}` : ''}{files.snapshots.map((f) => `, ${f.name} (passages)`)}</p>
        <label>The operator’s key, 64 hex digits, if you know whose record it should be
          <input class="in mono" value={operator} spellcheck={false} onInput={(e) => setOperator(e.currentTarget.value)} /></label>
        <div class="row"><button class="btn pri" disabled={!files.car || !!busy}>{busy === 'check' ? 'Checking …' : 'Check it'}</button>
          <button class="btn" type="button" disabled={!files.car || !!busy} onClick={() => void recompute()}>{busy === 'audit' ? 'Deciding again …' : 'Make every decision again'}</button>
          <span class="xs mut grow">The second loads the auditor once, 4 MB.</span></div>
      </form>
      {found && !found.ok && <Note tone="bad" icon="warn"><b>This file does not hold.</b> {found.error}. Nothing in it can be relied on.</Note>}
      {found?.ok && <section class="card stack" aria-label="Result">
        <h2><Icon of="check" /> Nothing is wrong in what was checked</h2>
        <dl class="kv"><dt>Run</dt><dd><Id of={found.run ?? ''} what="the run’s CID" /></dd><dt>Wallet</dt><dd>{found.wallet ? <Id of={found.wallet} what="the wallet" /> : 'sealed: no key for its signature was given'}</dd>
          <dt>Steps</dt><dd>{found.steps}, in {found.blocks} blocks, each hashed again</dd>
          <dt>Payloads</dt><dd>{found.leaves?.opened} opened, {found.leaves?.sealed} sealed, {found.leaves?.withheld} withheld, {found.leaves?.erased} erased</dd>
          <dt>Operator</dt><dd>{operator ? 'signed by the key that you gave' : 'not compared: anybody can make a file like this without a key to compare'}</dd></dl>
        <div><h3>Checked here</h3><ul>{(found.checked ?? []).map((c) => <li key={c} class="sm"><Icon of="check" /> {checks[c] ?? c}</li>)}</ul></div>
        <div><h3>Not checked here</h3><ul>{(found.left ?? []).map((c) => <li key={c} class="sm mut"><Icon of="flag" /> {leftWords[c] ?? c}</li>)}</ul>
          <p class="sm">The auditor recomputes these too, by the second button or by <code>writ-audit verify {files.car?.name}</code></p></div></section>}
      {audited && (audited.unloaded ?? audited.error) && <Note tone="bad" icon="warn"><b>{audited.unloaded ?? audited.error}</b> The command does the same: <code>writ-audit verify {files.car?.name}</code></Note>}
      {audited?.text && <section class="card stack" aria-label="What the auditor says"><h2><Icon of={audited.exit ? 'warn' : 'check'} /> What the auditor says</h2>
        <p class="sm">The code of <code>writ-audit verify</code>, in this page, word for word; the command would end with {audited.exit}.</p>
        <pre class="sm" tabIndex={0}>{audited.text}</pre></section>}</>
  )
}
