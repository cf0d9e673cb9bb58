/** What hashes, signatures, their keys and sealed payloads take: a file of its own, which verify.js loads. */
// @ts-expect-error it is plain JavaScript
export { base32, isEd25519, uncompress } from '../../../reader/points.mjs'
export { xchacha20poly1305 } from './chacha.ts'
export { hash, hmac } from './hash.ts'
export { order, recoverKey, verifyKey } from './k1.ts'
export { keccak_256 as keccak256 } from './keccak.ts'
export { base58btc } from './base58.ts'
