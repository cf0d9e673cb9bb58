import { base58, bytesToInt, fromHex, joinFields, utf8 } from './bytes.ts'

/** A session key. It can be kept in IndexedDB as it is: its secret half leaves the browser's own store never. */
export interface SessionKey {
  did: string
  pair: CryptoKeyPair
}

const p256 = { name: 'ECDSA', namedCurve: 'P-256' }
const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n // of P-256

/** Makes a P-256 key that no script can read. */
export const makeKey = async (): Promise<SessionKey> => {
  const pair = await crypto.subtle.generateKey(p256, false, ['sign', 'verify'])
  const raw = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey)) // 4, x, y
  const did = 'did:key:z' + base58(Uint8Array.from([0x80, 0x24, 2 | (raw[64]! & 1), ...raw.slice(1, 33)]))
  return { did, pair }
}

const sha256 = async (b: Uint8Array<ArrayBuffer>): Promise<Uint8Array> =>
  new Uint8Array(await crypto.subtle.digest('SHA-256', b))

/** Signs a request: the six fields of docs/protocol.md. `session` is empty for the request that opens a new one. */
export const signFrame = async (
  key: SessionKey, session: Uint8Array, channel: Uint8Array, seq: number, method: string, params: string,
): Promise<Uint8Array> => {
  const number = new Uint8Array(8)
  new DataView(number.buffer).setBigUint64(0, BigInt(seq))
  const hash = await sha256(utf8(params) as Uint8Array<ArrayBuffer>)
  const signed = joinFields([utf8('writ/frame/1'), session, channel, number, utf8(method), hash])
  const sig = new Uint8Array(await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, key.pair.privateKey, signed))
  const s = bytesToInt(sig.slice(32))
  if (s > order / 2n) sig.set(fromHex((order - s).toString(16).padStart(64, '0')), 32) // the lower half is asked for
  return sig
}
