/** The user's own wallet sends what runs ask it for: by wallet_sendCalls (EIP-5792) where that is safe, else one by one. */
import type { Session } from './session.js';
import type { Provider } from './wallet.js';
import type { WalletCall } from './wire.js';
/**
 * What the wallet has sent for a call. The server believes the chain, and takes the hash as a hint. refused is its answer
 * where it does not take this hash for this call: show it, since the call may still have to be paid.
 */
export interface Sent {
    call: WalletCall;
    hash: string;
    refused?: unknown;
}
/**
 * The transactions that the wallet is asked to send, of all its runs. One that is not there any more may come again: the
 * server leaves out what it cannot ask a chain about just now.
 */
export declare const payments: (session: Session) => Promise<WalletCall[]>;
/**
 * Has the wallet send calls, all of one chain and account, and tells the server. The wallet shows each, or all of them at
 * once where it sends them as a batch. If it refuses, nothing more is sent, and what had been is `sent` of the error. A call
 * whose `sent` the server knows is told again, and not sent again; else a second time is a second payment. onBatch is told
 * the id of each batch, which settle takes if this page does not live on.
 */
export declare const pay: (session: Session, wallet: Provider, calls: WalletCall[], onBatch?: (id: string, calls: WalletCall[]) => void) => Promise<Sent[]>;
/**
 * Waits until the wallet says what became of a batch that pay had it send, and tells the server. What is missing was not
 * sent; if the wallet does not say so of what it tells no transaction of, this throws `outcome_unknown`.
 */
export declare const settle: (session: Session, wallet: Provider, calls: WalletCall[], id: string) => Promise<Sent[]>;
type Ask = (method: string, ...params: unknown[]) => Promise<unknown>;
/** @internal */
export declare const askOf: (wallet: Provider) => Ask;
/** @internal Has the wallet be at an account and a chain. */
export declare const choose: (wallet: Provider, from: string, chain: number) => Promise<Ask>;
export {};
