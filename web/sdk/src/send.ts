/** Saying more in a run that goes on, and answering what its agent asks. */
import type { Run, RunOptions, Update } from './run.ts'
import type { Session } from './session.ts'
import type { Attached, Question, Ref } from './wire.ts'

/**
 * Says something into a run: steers it, or answers the question `of`. Await it before the next, so that the order stays.
 * The same `key` with the same text is sent once.
 */
export const send = async (session: Session, run: Run, text: string, of?: Ref, key: string = crypto.randomUUID(), attach?: Attached[]): Promise<void> => {
  await session.call('run.send', { run: await run.started, text, idempotency_key: key, ...(of && { of }), ...(attach && { attach }) })
}

/**
 * Starts a run that goes on from a step of another one, which has ended or waits: `step` is the `cid` of that step's event.
 * What was said and done up to there is told to the agent, and not done again. The same `key` with the same input gives
 * the same run.
 */
export const fork = async (session: Session, step: string, input: string, options: RunOptions & { agent?: string; key?: string; attach?: Attached[] } = {}): Promise<{ run: Run }> => {
  const started = await session.call('run.fork', { agent: options.agent ?? session.info.agent, input, step, idempotency_key: options.key ?? crypto.randomUUID(), ...(options.attach && { attach: options.attach }) })
  return { run: session.follow(started.run, options) } // a run itself would be awaited to its end
}

/** What the agent asks by an update, if it does and nobody has answered yet: one of its choices, or any text, is an answer. */
export const questionOf = async (session: Session, u: Update): Promise<Question | undefined> => {
  if (u.kind !== 'event' || !u.event.does?.some((e) => e.phase === 'ask')) return undefined
  return (await session.call('run.get', { run: u.event.run })).asks
}
