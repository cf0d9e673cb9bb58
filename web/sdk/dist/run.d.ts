import type { Session } from './session.js';
import type { TypedData } from './wallet.js';
import type { Approval, RunEvent, Totals } from './wire.js';
/** A call that waits for the wallet. It stays good until it is answered or its time is over, whatever socket is there. */
export interface WaitingApproval extends Omit<Approval, 'summary' | 'typed_data'> {
    /** What the call would do. The wallet signs `text`, the tool and the arguments; docs/protocol.md has the rest. */
    summary: CallSummary;
    /** What the wallet signs. */
    typed_data: TypedData;
    /** Has the wallet sign exactly this call. */
    approve(): Promise<void>;
    /** Refuses it; no signature is needed. */
    refuse(reason?: string): Promise<void>;
}
/** What a call that waits would do: one line, and of a payment what moves. */
export interface CallSummary {
    text: string;
    tool: string;
    args: unknown;
    /** The most that may leave, as "5 USDC", and the same in the asset's smallest units. */
    amount?: string;
    asset?: string;
    units?: string;
    decimals?: number;
    to?: string;
    /** After a simulation: what would leave the account, what would arrive, and whether that was read or computed. */
    debit?: string;
    credit?: string;
    simulated?: 'read' | 'computed';
    changes?: unknown;
    /** Where that is not what the call says: what it says, what would leave beyond it, and how many moves go to others. */
    asked?: string;
    over?: string;
    others?: number;
    rules: string[];
    why: string[];
}
/** One piece of a run's story. */
export type Update = {
    kind: 'event';
    event: RunEvent;
}
/**
 * For the eye; the next event replaces it. With `place` nothing is written yet: the run waits in the queue of the model
 * that is to answer, 1 for the next.
 */
 | {
    kind: 'delta';
    text: string;
    place?: number;
} | {
    kind: 'approval';
    approval: WaitingApproval;
} | {
    kind: 'receipt';
    receipt: string;
    head: string;
} | {
    kind: 'void';
};
/** How a run ended. */
export interface Outcome {
    run: string;
    /** `answered`, or why not: `denied`, `waiting`, `failed`, `truncated`, `declined`, `limit`, `timeout`, `cancelled`, `revoked`. */
    reason: string;
    /** The failure's code, if one ended it (docs/failures.md). */
    code: string | undefined;
    retryable: boolean;
    text: string;
    totals: Totals | undefined;
    /** The newest receipt, if the server has a log. */
    receipt: string | undefined;
}
export interface RunOptions {
    /** Decides on each call that waits, when the run is awaited. Without it such a run ends when the approval's time is over. */
    onApproval?: (a: WaitingApproval) => unknown;
    /** Told of text as it is written, when the run is awaited. */
    onText?: (text: string) => void;
    /** Cancels the run. */
    signal?: AbortSignal;
}
/** A run: await it for its outcome, or iterate over it for its updates, or first the one and then the other. */
export declare class Run implements AsyncIterable<Update>, PromiseLike<Outcome> {
    #private;
    /** The run's CID, once the server has taken the request. */
    readonly started: Promise<string>;
    constructor(session: Session, started: Promise<string>, options?: RunOptions);
    /** Asks the server to end the run. Its record stays. */
    cancel(): Promise<void>;
    then<A = Outcome, B = never>(ok?: ((o: Outcome) => A | PromiseLike<A>) | null, no?: ((e: unknown) => B | PromiseLike<B>) | null): Promise<A | B>;
    [Symbol.asyncIterator](): AsyncGenerator<Update, void, void>;
}
