import { type Client } from './client.js';
import type { SessionKey } from './key.js';
import type { Link } from './link.js';
import { Run, type RunOptions, type WaitingApproval } from './run.js';
import type { Signer } from './wallet.js';
import type { Attached, Methods, Provenance, Run as RunInfo, Session as SessionInfo } from './wire.js';
/** What brings a session back after a reload: keep it in IndexedDB, which can hold the key without showing it. */
export interface SavedSession {
    info: SessionInfo;
    key: SessionKey;
}
/** A session: what the wallet's signature allows an agent. It outlives sockets and pages. */
export declare class Session {
    #private;
    readonly info: SessionInfo;
    /** The text that the wallet signed; absent in a session that was taken up again. */
    readonly message: string | undefined;
    readonly key: SessionKey;
    constructor(client: Client, info: SessionInfo, key: SessionKey, signer?: Signer, message?: string);
    /** What [Client.resume] takes. */
    save(): SavedSession;
    /**
     * Starts a run: await it for its outcome, or iterate over its updates. The same `key` with the same input gives the
     * same run, so a repeat is safe. `attach` is what [attach] of writ-sdk/attach gave.
     */
    run(input: string, options?: RunOptions & {
        agent?: string;
        key?: string;
        thread?: string;
        attach?: Attached[];
    }): Run;
    /** Follows a run that is there already, from its start. */
    follow(run: string, options?: RunOptions): Run;
    /** Everything of this wallet that waits for an answer: the oldest 1,000, if it is more. */
    approvals(): Promise<WaitingApproval[]>;
    runs(limit?: number): Promise<RunInfo[]>;
    sessions(): Promise<SessionInfo[]>;
    /** Where a run's record is, and with `keys` the keys of its sealed parts. */
    provenance(run: string, keys?: boolean): Promise<Provenance>;
    /** Ends this session, here and everywhere, and cancels what it has under way. */
    revoke(reason?: string): Promise<void>;
    /** Calls any method of the protocol; those that act are signed. A lost socket is mended and the call repeated. */
    call<M extends keyof Methods>(method: M, params: Methods[M]['params']): Promise<Methods[M]['result']>;
    /** A socket on which this session is open. */
    link(): Promise<Link>;
    /** Waits before try number `n`. */
    pause(n: number, atLeast?: number): Promise<void>;
}
