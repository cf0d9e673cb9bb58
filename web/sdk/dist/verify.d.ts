/** What a reading found. */
export interface Reading {
    /** Whether nothing is wrong in what was checked. */
    ok: boolean;
    /** What is wrong: the code of docs/record.md, or a library's words. `unsupported`: this browser cannot check it. */
    error?: string;
    root?: string;
    run?: string;
    wallet?: string;
    steps?: number;
    blocks?: number;
    records?: number;
    leaves?: {
        opened: number;
        sealed: number;
        withheld: number;
        erased: number;
        reopened: number;
    };
    /** The checks that were made. */
    checked?: string[];
    /** The checks of writ-audit that are not made here. */
    left?: string[];
}
export interface VerifyOptions {
    /** What opens sealed payloads: the file of keys, or its `keys` as provenance.get gives them. */
    keys?: string | Record<string, string>;
    /** The operator's public key, 64 hex digits, got by another way than the file. Without it anybody can make such a file. */
    operatorKey?: string;
}
/** Reads a CAR file. It throws nothing: what is wrong is said. */
export declare const verify: (car: Uint8Array, { keys, operatorKey }?: VerifyOptions) => Promise<Reading>;
