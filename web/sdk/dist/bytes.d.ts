export declare const utf8: (s: string) => Uint8Array<ArrayBuffer>;
export declare const toHex: (b: Uint8Array) => string;
export declare const fromHex: (s: string) => Uint8Array;
export declare const bytesToInt: (b: Uint8Array) => bigint;
export declare const intToBytes: (n: bigint, length: number) => Uint8Array;
export declare const base64url: (b: Uint8Array) => string;
/** The bytes of a CIDv1 in base32, five bits a digit; what is over at the end is padding. */
export declare const cidBytes: (cid: string) => Uint8Array;
/** Joins fields, each behind its length in four bytes, big-endian: what is signed (docs/protocol.md). All are short. */
export declare const joinFields: (fields: Uint8Array[]) => Uint8Array<ArrayBuffer>;
