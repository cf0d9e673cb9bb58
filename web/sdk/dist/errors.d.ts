import type { Code } from './wire.js';
/** What a failed call has to say for programs. */
export interface ErrorData {
    code: Code;
    retryable: boolean;
    retry_after_ms?: number;
    expected?: number;
    rule?: string;
    reason?: string;
}
/** Every error that this package throws. Branch on `code`; show `message`, one sentence for the user. */
export declare class WritError extends Error {
    readonly code: Code;
    /** Whether the same call may succeed later. */
    readonly retryable: boolean;
    readonly hint: string;
    /** Where the server has a page about it. */
    readonly docs: string;
    readonly data: ErrorData;
    constructor(message: string, data: ErrorData);
}
/** @internal */
export declare const failure: (code: Code, message: string, retryable?: boolean) => WritError;
export declare const lost: (retryable?: boolean) => WritError;
/** @internal Asks a wallet. What it throws becomes an error with a code: 4001 is "no" (EIP-1193); ethers has its own word for it. */
export declare const askWallet: <T>(ask: () => Promise<T>) => Promise<T>;
