import { Link } from './link.js';
import { Session, type SavedSession } from './session.js';
import type { Signer, Wallet } from './wallet.js';
import { type Agent, type Limits, type Methods } from './wire.js';
export type State = 'connecting' | 'open' | 'lost' | 'closed';
export interface ConnectOptions {
    /** Told of each change. */
    onState?: (state: State) => void;
    /** In the place of the global WebSocket, for Node 20 say. */
    WebSocket?: typeof WebSocket;
}
/** What a wallet is asked to allow. What is left out is the agent's default; limits can only be narrower than its. */
export interface SignInRequest {
    agent: string;
    /** EIP-155 id; 1 if absent. */
    chain?: number;
    tools?: string[];
    limits?: Limits;
    /** Seconds; an hour if absent. */
    life?: number;
    /** What this client calls itself, for the owner to tell sessions apart. */
    device?: string;
    /** Shown before the wallet is asked: the text in which every permission is a sentence. Return false to stop. */
    review?: (message: string) => boolean | Promise<boolean>;
}
/** Connects to a server, given as its http or https address. */
export declare const connect: (url: string, options?: ConnectOptions) => Promise<Client>;
/** A connection that mends itself. Nothing that was started is lost with a socket. */
export declare class Client {
    #private;
    constructor(url: string, options: ConnectOptions);
    /** The agents that the server runs. */
    agents(): Promise<Agent[]>;
    /** Opens a session: the wallet signs one message, and from then on the session key, which never leaves the browser. */
    signIn(wallet: Wallet, request: SignInRequest): Promise<Session>;
    /** Takes up a session that was saved. The wallet is only needed for approvals, and may be given later. */
    resume(saved: SavedSession, wallet?: Wallet): Promise<Session>;
    /** Ends the connection. Runs and the session go on. */
    close(): void;
    /** @internal */
    linkFor(session: Session | undefined): Promise<Link>;
    /** @internal Calls a method on a socket that works; a lost one is made anew and the call repeated. */
    callFor<M extends keyof Methods>(session: Session | undefined, method: M, params: Methods[M]['params']): Promise<Methods[M]['result']>;
    /** @internal */
    signerFor(session: Session, signer: Signer | undefined): Signer;
    /** @internal Waits longer each time, and a random part of it, so that a server is not met by all at once. */
    pause(n: number, atLeast?: number): Promise<void>;
}
