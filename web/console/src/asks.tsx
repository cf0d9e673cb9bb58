// What an agent asks its user; loaded when one does.
import { useRef, useState } from 'preact/hooks'
import type { WritError, wire } from '../../sdk/src/index.ts'
import { Icon, Note, Strange, style, Tag } from './parts.tsx'
import { asError, loadApprovals, said, session } from './store.ts'

await style('talk.css')

const same = (a: wire.Ref, b: wire.Ref | undefined): boolean => a.seq === b?.seq && a.index === b.index

const isOver = (e: WritError): boolean => ['approval_late', 'not_found', 'erased'].includes(e.code)

/** A question with its choices as buttons, and a field for any other answer, which is one too. */
export const Question = ({ run, agent, asked, q, done, late: tooLate }: { run: string; agent: string; asked?: string; q: wire.Question; done?: () => void; late?: () => void }) => {
  const [text, setText] = useState('')
  const [busy, setBusy] = useState('')
  const [sent, setSent] = useState('')
  const [refused, setRefused] = useState('')
  const [fault, setFault] = useState<WritError>()
  const keys = useRef(new Map<string, string>()) // what is tried again after a lost connection is sent once
  const choices = q.choices ?? []
  const late = !!fault && isOver(fault)
  const answer = async (words: string): Promise<void> => {
    if (busy || late || sent || !words.trim()) return
    setBusy(words)
    setFault(undefined)
    setRefused('')
    const key = keys.current.get(words) ?? crypto.randomUUID()
    keys.current.set(words, key)
    try {
      const s = session.value!
      await s.call('run.send', { run, text: words, of: q.of, idempotency_key: key })
      // A rule may not have let it in: then the run asks still, and the same words would be the same refusal.
      if (same(q.of, (await s.call('run.get', { run })).asks?.of)) {
        setRefused(words)
        said.value = 'A rule did not let your answer in.'
      } else {
        setSent(words)
        said.value = `Answered: ${words}.`
        done?.()
        await loadApprovals()
      }
    } catch (e) {
      const why = asError(e)
      setFault(why)
      if (isOver(why)) {
        tooLate?.()
        await loadApprovals()
      }
    }
    setBusy('')
  }
  const choose = (e: KeyboardEvent): void => {
    const n = Number(e.key)
    if (e.target instanceof HTMLInputElement || e.ctrlKey || e.metaKey || e.altKey || !(n >= 1 && n <= Math.min(9, choices.length))) return
    e.preventDefault()
    void answer(choices[n - 1]!)
  }
  return (
    <section class="wait asks" role="group" aria-label={`Question: ${q.question}`} onKeyDown={choose}>
      <div class="row sp"><Tag tone="acc" icon="talk">{agent} asks you</Tag>{!sent && !late && <span class="sm mut">The run waits a day at most</span>}</div>
      {asked && <p class="sm mut">In the run “<Strange of={asked} />”</p>}
      <p class="q2"><Strange of={q.question} /></p>
      {sent ? <p class="sm" role="status"><Icon of="check" /> You answered: <b><Strange of={sent} /></b>. The run goes on. <a href={`#run/${run}`}>Look at it</a></p>
        : late ? <Note tone="warn" icon="clock"><b>This question is over.</b> It was answered elsewhere, its day has passed, or the run was ended. <a href={`#run/${run}`}>Look at the run</a></Note>
          : <>
            {choices.length > 0 && <ul class="picks" aria-label="Choices">{choices.map((c, i) => <li key={c}><button class="btn" disabled={!!busy || refused === c} aria-busy={busy === c} onClick={() => void answer(c)}>
              {i < 9 && <kbd aria-hidden="true">{i + 1}</kbd>}<span><Strange of={c} /></span></button></li>)}</ul>}
            <form class="row" onSubmit={(e) => { e.preventDefault(); void answer(text) }}>
              <label class="grow"><span class="vh">{choices.length > 0 ? 'Another answer' : 'Your answer'}</span>
                <input class="in" maxLength={4000} placeholder={choices.length > 0 ? 'Another answer' : 'Your answer'} value={text} onInput={(e) => setText(e.currentTarget.value)} /></label>
              <button class="btn" disabled={!!busy || !text.trim() || refused === text}>{busy ? 'Sending' : 'Answer'}</button></form>
            {refused && <Note tone="warn" icon="deny"><b>A rule of the operator’s did not let “<Strange of={refused} />” in.</b> It is in the record, and the agent was not told. Answer in another way, or stop the run.</Note>}
            {fault && <Note tone="bad" icon="warn"><b>{fault.message}</b> {fault.retryable ? 'Answer again: it is sent once.' : fault.hint}</Note>}
            <p class="xs mut">The question is the agent’s words. Your answer counts as yours, is signed by this session, and stands in the record.</p></>}
    </section>
  )
}
