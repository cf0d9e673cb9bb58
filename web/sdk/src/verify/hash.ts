const root = (n: number, e: number): number => { // the first 32 bits of the fraction of a root
  const r = n ** (1 / e)
  return ((r - Math.floor(r)) * 2 ** 32) | 0
}
const primes: number[] = []
for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n)
const K = Int32Array.from(primes, (p) => root(p, 3))
const start = primes.slice(0, 8).map((p) => root(p, 2))

const w = new Int32Array(64)
const r = (x: number, n: number): number => (x >>> n) | (x << (32 - n))

/** SHA-256, at once. */
export const hash = (b: Uint8Array): Uint8Array => {
  const all = new Uint8Array(((b.length + 72) >> 6) << 6)
  all.set(b)
  all[b.length] = 128
  const view = new DataView(all.buffer)
  view.setUint32(all.length - 8, b.length / 2 ** 29)
  view.setUint32(all.length - 4, b.length << 3)
  const h = Int32Array.from(start)
  for (let at = 0; at < all.length; at += 64) {
    let a = h[0]!, b = h[1]!, c = h[2]!, d = h[3]!, e = h[4]!, f = h[5]!, g = h[6]!, i = h[7]!
    for (let t = 0; t < 64; t++) {
      if (t < 16) w[t] = view.getInt32(at + 4 * t)
      else {
        const x = w[t - 15]!, y = w[t - 2]!
        w[t] = (r(x, 7) ^ r(x, 18) ^ (x >>> 3)) + w[t - 7]! + (r(y, 17) ^ r(y, 19) ^ (y >>> 10)) + w[t - 16]!
      }
      const one = (i + (r(e, 6) ^ r(e, 11) ^ r(e, 25)) + ((e & f) ^ (~e & g)) + K[t]! + w[t]!) | 0
      const two = ((r(a, 2) ^ r(a, 13) ^ r(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0
      i = g; g = f; f = e; e = (d + one) | 0; d = c; c = b; b = a; a = (one + two) | 0
    }
    h[0]! += a; h[1]! += b; h[2]! += c; h[3]! += d; h[4]! += e; h[5]! += f; h[6]! += g; h[7]! += i
  }
  h.forEach((x, j) => view.setInt32(4 * j, x)) // the text is read
  return all.slice(0, 32)
}

/** HMAC with SHA-256. The key has at most 64 bytes. */
export const hmac = (key: Uint8Array, text: Uint8Array): Uint8Array => {
  const under = (x: number, rest: Uint8Array): Uint8Array => {
    const all = new Uint8Array(64 + rest.length).fill(x, 0, 64)
    key.forEach((k, i) => { all[i]! ^= k })
    all.set(rest, 64)
    return hash(all)
  }
  return under(0x5c, under(0x36, text))
}
