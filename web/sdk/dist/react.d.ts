import type { Client, ConnectOptions, SignInRequest, State } from './client.js';
import type { Outcome, RunOptions, WaitingApproval } from './run.js';
import type { SavedSession, Session } from './session.js';
import type { Wallet } from './wallet.js';
import type { RunEvent } from './wire.js';
/** A connection to a server, which mends itself. It is closed when the component goes. */
export declare const useWrit: (url: string, options?: Pick<ConnectOptions, 'WebSocket'>) => {
    client: Client | undefined;
    state: State;
    error: unknown;
};
/** A session of a client. `signIn` and `resume` open one; what they throw is in `error`. */
export declare const useSession: (client: Client | undefined) => {
    session: Session | undefined;
    busy: boolean;
    error: unknown;
    signIn: (wallet: Wallet, request: SignInRequest) => Promise<Session | undefined>;
    resume: (saved: SavedSession, wallet?: Wallet) => Promise<Session | undefined>;
    revoke: (reason?: string) => Promise<Session | undefined>;
};
/**
 * A run as it goes. `text` is a draft until an event says what stands; `approvals` are those that still wait; `place` is
 * its place in the queue of the model that is to answer, 1 for the next, while it waits there.
 */
export interface RunView {
    run: string | undefined;
    text: string;
    place: number | undefined;
    events: RunEvent[];
    approvals: WaitingApproval[];
    outcome: Outcome | undefined;
    error: unknown;
    busy: boolean;
}
/** Starts runs, or follows one, and tells the newest as it goes. It draws once a frame's worth of events, not at each. */
export declare const useRun: (session: Session | undefined) => {
    run: string | undefined;
    text: string;
    place: number | undefined;
    events: RunEvent[];
    approvals: WaitingApproval[];
    outcome: Outcome | undefined;
    error: unknown;
    busy: boolean;
    ask: (input: string, options?: RunOptions & {
        agent?: string;
        thread?: string;
    }) => Promise<Outcome | undefined> | undefined;
    follow: (run: string) => Promise<Outcome | undefined> | undefined;
    stop: () => Promise<void> | undefined;
};
/** Everything of the wallet that waits for an answer. `reload` asks again, as after an answer elsewhere. */
export declare const useApprovals: (session: Session | undefined) => {
    approvals: WaitingApproval[];
    error: unknown;
    reload: () => Promise<void>;
};
