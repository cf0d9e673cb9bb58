import type { TypedData } from './wallet.js';
/** An EIP-1193 provider over one account. Set `refuses` to have it answer 4001, as a user who clicks "reject". */
export interface MockWallet {
    address: string;
    refuses: boolean;
    /** What it was asked to sign, in order. */
    asked: {
        method: string;
        params: unknown[];
    }[];
    request(args: {
        method: string;
        params?: unknown[];
    }): Promise<unknown>;
}
/** Makes a wallet, of a given secret key in hex or a fresh one. */
export declare const mockWallet: (secret?: string) => MockWallet;
/** The digest of EIP-712 that a wallet signs. */
export declare const hashTypedData: (t: TypedData) => Uint8Array;
