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
/** The transactions that the wallet is asked to send, of all its runs. */
export declare const payments: (session: Session) => Promise<WalletCall[]>;
/**
 * Has the wallet send calls, all of one chain and account, and tells the server. The wallet shows each, or all of them at
 * once where it sends them as a batch. If it refuses, nothing more is sent; what had been is told. Give each call once: a
 * second time is a second payment. onBatch is told the id of each batch, which settle takes if this page does not live on.
 */
export declare const pay: (session: Session, wallet: Provider, calls: WalletCall[], onBatch?: (id: string, calls: WalletCall[]) => void) => Promise<Sent[]>;
/** Waits until the wallet says what became of a batch that pay had it send, and tells the server. What is missing was not sent. */
export declare const settle: (session: Session, wallet: Provider, calls: WalletCall[], id: string) => Promise<Sent[]>;
