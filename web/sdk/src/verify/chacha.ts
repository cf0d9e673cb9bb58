/** XChaCha20-Poly1305, to open what is sealed. What it gives is believed only if the record commits to it. */
const words = (b: Uint8Array): number[] => Array.from({ length: b.length / 4 }, (_, i) => new DataView(b.buffer, b.byteOffset).getUint32(4 * i, true))
const sigma = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574]
const quarters = [0x048c, 0x159d, 0x26ae, 0x37bf, 0x05af, 0x16bc, 0x278d, 0x349e].map((q) => [q >> 12, (q >> 8) & 15, (q >> 4) & 15, q & 15] as const)

const mix = (x: Uint32Array, into: number, by: number, turned: number, n: number): void => {
  x[into]! += x[by]!
  const t = x[turned]! ^ x[into]!
  x[turned] = (t << n) | (t >>> (32 - n))
}

/** Twenty rounds over a state, in place. */
const rounds = (x: Uint32Array): Uint32Array => {
  for (let i = 0; i < 80; i++) {
    const [a, b, c, d] = quarters[i % 8]!
    mix(x, a, b, d, 16)
    mix(x, c, d, b, 12)
    mix(x, a, b, d, 8)
    mix(x, c, d, b, 7)
  }
  return x
}

const block = (key: number[], count: number, nonce: number[]): Uint8Array => {
  const from = Uint32Array.from([...sigma, ...key, count, ...nonce])
  const x = rounds(from.slice())
  const out = new DataView(new ArrayBuffer(64))
  x.forEach((v, i) => out.setUint32(4 * i, v + from[i]!, true))
  return new Uint8Array(out.buffer)
}

const little = (b: DataView, at: number): bigint => b.getBigUint64(at, true) | (b.getBigUint64(at + 8, true) << 64n)

/** Of a text of whole blocks of 16. */
const poly1305 = (key: Uint8Array, m: DataView): bigint => {
  const k = new DataView(key.buffer), r = little(k, 0) & 0x0ffffffc0ffffffc0ffffffc0fffffffn, p = (1n << 130n) - 5n
  let acc = 0n
  for (let i = 0; i < m.byteLength; i += 16) acc = ((acc + little(m, i) + (1n << 128n)) * r) % p
  return (acc + little(k, 16)) & ((1n << 128n) - 1n)
}

export const xchacha20poly1305 = (key: Uint8Array, nonce: Uint8Array): { decrypt(sealed: Uint8Array): Uint8Array } => ({
  decrypt: (sealed) => {
    if (sealed.length < 16) throw new Error('too short')
    const n = words(Uint8Array.from(nonce)), x = rounds(Uint32Array.from([...sigma, ...words(Uint8Array.from(key)), ...n.slice(0, 4)]))
    const inner = [...x.slice(0, 4), ...x.slice(12)], rest = [0, n[4]!, n[5]!]
    const ct = sealed.subarray(0, -16)
    const mac = new Uint8Array(((ct.length + 15) >> 4 << 4) + 16)
    mac.set(ct)
    const view = new DataView(mac.buffer)
    view.setUint32(mac.length - 8, ct.length, true)
    if (poly1305(block(inner, 0, rest), view) !== little(new DataView(sealed.buffer, sealed.byteOffset), ct.length)) throw new Error('it does not open')
    const out = Uint8Array.from(ct)
    for (let i = 0; i < out.length; i += 64) {
      const stream = block(inner, 1 + i / 64, rest)
      for (let j = i; j < Math.min(i + 64, out.length); j++) out[j]! ^= stream[j - i]!
    }
    return out
  },
})
