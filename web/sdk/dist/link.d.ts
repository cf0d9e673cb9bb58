import { WritError } from './errors.js';
import { type SessionKey } from './key.js';
import type { Hello, Methods, RunDelta, RunEvent, RunReceipt } from './wire.js';
/** One notification of a run. */
export type Note = {
    method: 'run.event';
    params: RunEvent;
} | {
    method: 'run.delta';
    params: RunDelta;
} | {
    method: 'run.receipt';
    params: RunReceipt;
};
/** One socket. */
export declare class Link {
    #private;
    hello: Hello;
    alive: boolean;
    /** Signs requests once it is set. */
    key: SessionKey | undefined;
    /** The session's CID in bytes; empty before one is open. */
    session: Uint8Array;
    private constructor();
    /** Opens a socket, and resolves when the server has named the channel. */
    static open(url: string, Socket: typeof WebSocket): Promise<Link>;
    close(): void;
    /** Calls a method, signed by the session key if `signed`. `first` sees the result before any frame that follows it. */
    call<M extends keyof Methods>(method: M, params: Methods[M]['params'], signed?: boolean, first?: (r: Methods[M]['result']) => void): Promise<Methods[M]['result']>;
    /** Asks for a run's events after a place, and hands each to `take`, the socket's end too. */
    follow(params: Methods['run.subscribe']['params'], take: (n: Note | WritError) => void): Promise<Methods['run.subscribe']['result']>;
    /** Ends a subscription. One whose socket is gone has ended already. */
    unfollow(sub: string): void;
    ack(sub: string, seq: number): void;
}
