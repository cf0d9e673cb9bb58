import { bytesToInt, intToBytes, joinFields, utf8 } from './bytes.ts'

/** A session key. It can be kept in IndexedDB as it is: its secret half leaves the browser's own store never. */
export interface SessionKey {
  did: string
  pair: CryptoKeyPair
}

export const p256 = { name: 'ECDSA', namedCurve: 'P-256' }
const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n // of P-256

const sha256 = { ...p256, hash: 'SHA-256' }

/** Signs a request: the six fields of docs/protocol.md. `session` is empty for the request that opens a new one. */
export const signFrame = async (
  key: SessionKey, session: Uint8Array, channel: Uint8Array, seq: number, method: string, params: string,
): Promise<Uint8Array> => {
  const hash = new Uint8Array(await crypto.subtle.digest(sha256.hash, utf8(params)))
  const signed = joinFields([utf8('writ/frame/1'), session, channel, intToBytes(BigInt(seq), 8), utf8(method), hash])
  const sig = new Uint8Array(await crypto.subtle.sign(sha256, key.pair.privateKey, signed))
  const s = bytesToInt(sig.slice(32))
  if (s > order / 2n) sig.set(intToBytes(order - s, 32), 32) // the lower half is asked for
  return sig
}
