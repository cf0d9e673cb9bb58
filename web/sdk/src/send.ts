/** Saying more in a run that goes on, and answering what its agent asks. */
import type { Run, Update } from './run.ts'
import type { Session } from './session.ts'
import type { Question, Ref } from './wire.ts'

/**
 * Says something into a run: steers it, or answers the question `of`. Await it before the next, so that the order stays.
 * The same `key` with the same text is sent once.
 */
export const send = async (session: Session, run: Run, text: string, of?: Ref, key: string = crypto.randomUUID()): Promise<void> => {
  await session.call('run.send', { run: await run.started, text, idempotency_key: key, ...(of && { of }) })
}

/** What the agent asks by an update, if it does and nobody has answered yet: one of its choices, or any text, is an answer. */
export const questionOf = async (session: Session, u: Update): Promise<Question | undefined> => {
  if (u.kind !== 'event' || !u.event.does?.some((e) => e.phase === 'ask')) return undefined
  return (await session.call('run.get', { run: u.event.run })).asks
}
