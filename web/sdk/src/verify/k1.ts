/**
 * What wallets sign with, to check and never to sign: secp256k1 (SEC 2), by the formulas of Renes, Costello and Batina for
 * a = 0, which hold for every two points. The tests hold it to @noble/secp256k1.
 */
import { bytesToInt, intToBytes } from '../bytes.ts'
// @ts-expect-error it is plain JavaScript
import { power, uncompress } from '../../../reader/points.mjs'

type Point = [bigint, bigint, bigint] // projective: x / z, y / z

const p = 2n ** 256n - 2n ** 32n - 977n
export const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n

/** The point of a compressed key. */
const pointOf = (raw: Uint8Array): Point => {
  const [x, y] = uncompress('secp256k1', raw) as Uint8Array[] // throws if it is none
  return [bytesToInt(x!), bytesToInt(y!), 1n]
}

const base = (): Point => pointOf(Uint8Array.of(2, ...intToBytes(0x79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798n, 32)))

const add = ([a, b, c]: Point, [d, e, f]: Point): Point => {
  const x = a * d, y = b * e, z = 21n * c * f
  const xy = (a + b) * (d + e) - x - y
  const yz = (b + c) * (e + f) - y - c * f
  const xz = 21n * ((a + c) * (d + f) - x - c * f)
  return [(xy * (y - z) - yz * xz) % p, ((y - z) * (y + z) + 3n * x * xz) % p, ((y + z) * yz + 3n * x * xy) % p]
}

const mod = (a: bigint, m: bigint): bigint => ((a % m) + m) % m

/** The x and y of u G + v Q, where `u` and `v` are over `by`. It throws if that is no point. */
const combine = (u: bigint, v: bigint, q: Point, by: bigint): [bigint, bigint] => {
  const over = power(by, order - 2n, order) as bigint
  const each = ([[u, base()], [v, q]] as const).map(([n, point]) => [mod(n * over, order), point] as const)
  let [x, y, z]: Point = [0n, 1n, 0n]
  for (let bit = 255n; bit >= 0n; bit--) {
    ;[x, y, z] = add([x, y, z], [x, y, z])
    for (const [n, point] of each) if ((n >> bit) & 1n) [x, y, z] = add([x, y, z], point)
  }
  if (z % p === 0n) throw new Error('no point')
  const one = power(mod(z, p), p - 2n, p) as bigint
  return [mod(x * one, p), mod(y * one, p)]
}

/** The r and s of a signature of 64 bytes, each of 1 to the order. */
const partsOf = (rs: Uint8Array): bigint[] => [rs.subarray(0, 32), rs.subarray(32, 64)].map((b) => {
  const n = bytesToInt(b)
  if (rs.length !== 64 || n === 0n || n >= order) throw new Error('no signature')
  return n
})

/** The uncompressed key, of 65 bytes, that made a signature over a digest; `odd` is the parity of its point. It throws if there is none. */
export const recoverKey = (digest: Uint8Array, rs: Uint8Array, odd: number): Uint8Array => {
  const [r, s] = partsOf(rs) as [bigint, bigint]
  const xy = combine(-bytesToInt(digest), s, pointOf(Uint8Array.of(2 + odd, ...rs.subarray(0, 32))), r)
  return Uint8Array.of(4, ...xy.flatMap((n) => [...intToBytes(n, 32)]))
}

/** Whether a compressed key made a signature of r and the smaller s over a digest. */
export const verifyKey = (digest: Uint8Array, rs: Uint8Array, key: Uint8Array): boolean => {
  try {
    const [r, s] = partsOf(rs) as [bigint, bigint]
    return s <= order / 2n && mod(combine(bytesToInt(digest), r, pointOf(key), s)[0], order) === r
  } catch {
    return false
  }
}
