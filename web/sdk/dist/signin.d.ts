import { type SessionKey } from './key.js';
import type { Signer, Wallet } from './wallet.js';
/** Makes a P-256 key that no script can read. */
export declare const makeKey: () => Promise<SessionKey>;
/**
 * Why a message must not be signed, or nothing. A wallet signs what it is shown, and the message is the server's, so it
 * must be of this server, account and key.
 */
export declare const findFault: (message: string, host: string, address: string, key: SessionKey) => string;
/**
 * Turns any wallet into a signer. An EIP-1193 provider is asked for its account, which may open its window. What a wallet
 * throws comes out as it is.
 */
export declare const signerOf: (wallet: Wallet | undefined) => Promise<Signer>;
