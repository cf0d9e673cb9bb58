// A conversation: runs as they are started, followed and stopped. It is loaded with the pages that show one.
import type { Run, wire } from '../../sdk/src/index.ts'
import { asError, attempt, loadApprovals, said, session, turns, type Turn } from './store.ts'
import { emptyStory, tell, tellInto } from './story.ts'

let count = 0

const change = (id: number, f: (t: Turn) => Turn): void => { turns.value = turns.value.map((t) => (t.id === id ? f(t) : t)) }

/** Follows a run into a turn, to its end. */
const follow = async (id: number, run: Run): Promise<void> => {
  const tools = new Map<string, string>()
  try {
    change(id, (t) => ({ ...t, handle: run }))
    const cid = await run.started
    change(id, (t) => ({ ...t, run: cid }))
    for await (const u of run) {
      if (u.kind === 'void') change(id, (t) => ({ ...t, story: emptyStory(t.story.asked), draft: '' }))
      if (u.kind === 'delta') change(id, (t) => ({ ...t, draft: t.draft + u.text, place: u.place }))
      if (u.kind === 'event') {
        change(id, (t) => ({ ...t, story: tell(t.story, u.event, tools), place: undefined,
          draft: u.event.event.failed === 'model.outrun' ? t.draft : '' })) // what is there is the other one's
        const asks = u.event.does?.some((d) => d.phase === 'ask')
        if (asks) said.value = 'The agent asks you something.'
        if (asks || (u.event.event.kind === 'ask' && u.event.event.of)) void loadApprovals()
        if (u.event.event.kind === 'verdict' || u.event.event.kind === 'lapse') {
          change(id, (t) => ({ ...t, approvals: [] }))
          void loadApprovals()
        }
      }
      if (u.kind === 'approval') {
        change(id, (t) => ({ ...t, approvals: [...t.approvals.filter((a) => a.step !== u.approval.step), u.approval] }))
        said.value = 'Your approval is needed.'
        void loadApprovals()
      }
    }
    const { reason, text } = await run
    said.value = `${reason}. ${text}`
    void loadApprovals()
    change(id, (t) => ({ ...t, approvals: [] }))
  } catch (e) {
    change(id, (t) => ({ ...t, error: asError(e) }))
  }
}

const begin = (asked: string, run: Run): void => {
  const turn: Turn = { id: ++count, story: emptyStory(asked), draft: '', run: '', error: undefined, approvals: [], handle: undefined }
  turns.value = [...turns.value, turn]
  void follow(turn.id, run)
}

export const ask = (text: string, attach: wire.Attached[] = []): void => {
  const s = session.value
  if (!s || !text.trim()) return
  begin(text, s.run(text, attach.length ? { attach } : {}))
  said.value = 'Asked.'
}

/** Shows a run of before in the conversation, and what comes of it. */
export const takeUp = (run: wire.Run): void => begin(run.asked ?? '', session.value!.follow(run.run))

/** Shows a run that is there already, in a turn of its own that is in no conversation. A long one comes in frames. */
export const openRun = async (cid: string, show: (t: Turn) => void, signal?: AbortSignal): Promise<void> => {
  const s = session.value
  if (!s) return
  const turn: Turn = { id: 0, story: emptyStory(), draft: '', run: cid, error: undefined, approvals: [], handle: undefined }
  const tools = new Map<string, string>()
  let soon = 0
  const flush = (): void => {
    cancelAnimationFrame(soon)
    soon = 0
    if (!signal?.aborted) show({ ...turn, story: { ...turn.story } })
  }
  const later = (): void => { soon ||= requestAnimationFrame(flush) }
  try {
    for await (const u of s.follow(cid)) {
      if (signal?.aborted) return
      if (u.kind === 'event') tellInto(turn.story, u.event, tools)
      if (u.kind === 'void') turn.story = emptyStory()
      if (u.kind === 'approval') turn.approvals = [...turn.approvals, u.approval]
      if (u.kind !== 'receipt') later()
    }
  } catch (e) {
    turn.error = asError(e)
  }
  flush()
}

export const stop = (): void => {
  for (const t of turns.value) if (!t.story.reason && t.handle) void attempt(() => t.handle!.cancel())
}
