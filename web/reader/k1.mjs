// What wallets sign with: secp256k1, and Keccak-256.
import { Point, recoverPublicKey, verify } from '@noble/secp256k1'
import { keccak_256 } from '@noble/hashes/sha3.js'

export const keccak256 = keccak_256

// order is how many points the curve has.
export const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n

// recoverKey returns the uncompressed key, of 65 bytes, that made a signature of r and s over a digest; odd is the parity
// of its point. It throws if there is none.
export const recoverKey = (digest, rs, odd) => Point.fromBytes(recoverPublicKey(new Uint8Array([odd, ...rs]), digest, { prehash: false })).toBytes(false)

// verifyKey says whether a compressed key made a signature of r and s, the smaller s, over a digest.
export const verifyKey = (digest, rs, key) => verify(rs, digest, key, { prehash: false })
