/** Saying more in a run that goes on, and answering what its agent asks. */
import type { Run, RunOptions, Update } from './run.js';
import type { Session } from './session.js';
import type { Attached, Question, Ref } from './wire.js';
/**
 * Says something into a run: steers it, or answers the question `of`. Await it before the next, so that the order stays.
 * The same `key` with the same text is sent once.
 */
export declare const send: (session: Session, run: Run, text: string, of?: Ref, key?: string, attach?: Attached[]) => Promise<void>;
/**
 * Starts a run that goes on from a step of another one, which has ended or waits: `step` is the `cid` of that step's event.
 * What was said and done up to there is told to the agent, and not done again. The same `key` with the same input gives
 * the same run.
 */
export declare const fork: (session: Session, step: string, input: string, options?: RunOptions & {
    agent?: string;
    key?: string;
    attach?: Attached[];
}) => Promise<{
    run: Run;
}>;
/** What the agent asks by an update, if it does and nobody has answered yet: one of its choices, or any text, is an answer. */
export declare const questionOf: (session: Session, u: Update) => Promise<Question | undefined>;
