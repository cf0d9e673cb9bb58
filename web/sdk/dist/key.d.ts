/** A session key. It can be kept in IndexedDB as it is: its secret half leaves the browser's own store never. */
export interface SessionKey {
    did: string;
    pair: CryptoKeyPair;
}
export declare const p256: {
    name: string;
    namedCurve: string;
};
/** Signs a request: the six fields of docs/protocol.md. `session` is empty for the request that opens a new one. */
export declare const signFrame: (key: SessionKey, session: Uint8Array, channel: Uint8Array, seq: number, method: string, params: string) => Promise<Uint8Array>;
