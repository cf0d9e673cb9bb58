/** Saying more in a run that goes on, and answering what its agent asks. */
import type { Run, Update } from './run.js';
import type { Session } from './session.js';
import type { Question, Ref } from './wire.js';
/**
 * Says something into a run: steers it, or answers the question `of`. Await it before the next, so that the order stays.
 * The same `key` with the same text is sent once.
 */
export declare const send: (session: Session, run: Run, text: string, of?: Ref, key?: string) => Promise<void>;
/** What the agent asks by an update, if it does and nobody has answered yet: one of its choices, or any text, is an answer. */
export declare const questionOf: (session: Session, u: Update) => Promise<Question | undefined>;
