// The few of node:crypto that the reader uses, for a browser.
import { ed25519 } from '@noble/curves/ed25519.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { Buffer } from 'buffer'

interface Digest { update(b: Uint8Array): Digest; digest(): Buffer }

const collect = (end: (all: Uint8Array) => Uint8Array): Digest => {
  const parts: Uint8Array[] = []
  const self: Digest = {
    update: (b) => { parts.push(b); return self },
    digest: () => Buffer.from(end(Buffer.concat(parts))),
  }
  return self
}

export const createHash = (_: 'sha256'): Digest => collect((all) => sha256(all))
export const createHmac = (_: 'sha256', key: Uint8Array): Digest => collect((all) => hmac(sha256, key, all))

/** The last 32 bytes of an SPKI are the key. */
export const createPublicKey = ({ key }: { key: Uint8Array }): Uint8Array => key.subarray(-32)
export const verify = (_: null, message: Uint8Array, key: Uint8Array, signature: Uint8Array): boolean => {
  try {
    return ed25519.verify(signature, message, key, { zip215: false })
  } catch {
    return false
  }
}
