/**
 * The few of node:crypto that the reader of web/reader uses: SHA-256 and its HMAC at once, signatures by WebCrypto later.
 */
import { Buffer } from './buffer.ts'
import { hash, hmac } from './hash.ts'

interface Digest { update(b: Uint8Array): Digest; digest(): Buffer }

const collect = (end: (all: Buffer) => Uint8Array): Digest => {
  const parts: Uint8Array[] = []
  const self: Digest = { update: (b) => { parts.push(b); return self }, digest: () => Buffer.from(end(Buffer.concat(parts))) }
  return self
}

export const createHash = (_: 'sha256'): Digest => collect(hash)
export const createHmac = (_: 'sha256', key: Uint8Array): Digest => collect((all) => hmac(key, all))

export const createPublicKey = ({ key }: { key: JsonWebKey }): JsonWebKey => key

export const verify = async (_: unknown, message: Uint8Array<ArrayBuffer>, { key }: { key: JsonWebKey }, sig: Uint8Array<ArrayBuffer>): Promise<boolean> => {
  const how = key.crv === 'Ed25519' ? { name: 'Ed25519' } : { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  return crypto.subtle.verify(how, await crypto.subtle.importKey('jwk', key, how, false, ['verify']), sig, message)
}
