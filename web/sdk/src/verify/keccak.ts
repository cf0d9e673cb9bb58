const mask = 2n ** 64n - 1n
const turn = (x: bigint, n: number): bigint => ((x << BigInt(n)) | (x >> BigInt(64 - n))) & mask

/** The permutation of 25 words of 64 bits, lane x, y at x + 5 y: FIPS 202, section 3.3. Its constants are made as they are told there. */
const permute = (s: bigint[]): void => {
  for (let round = 0, shifts = 1; round < 24; round++) {
    const c = [0, 1, 2, 3, 4].map((x) => s[x]! ^ s[x + 5]! ^ s[x + 10]! ^ s[x + 15]! ^ s[x + 20]!)
    s.forEach((_, i) => { s[i]! ^= c[(i + 4) % 5]! ^ turn(c[(i + 1) % 5]!, 1) })
    for (let t = 0, x = 1, y = 0, word = s[1]!; t < 24; t++) {
      ;[x, y] = [y, (2 * x + 3 * y) % 5]
      const was = s[x + 5 * y]!
      s[x + 5 * y] = turn(word, (((t + 1) * (t + 2)) / 2) % 64)
      word = was
    }
    const b = [...s]
    s.forEach((_, i) => { const row = i - (i % 5); s[i] = b[i]! ^ (~b[row + ((i + 1) % 5)]! & mask & b[row + ((i + 2) % 5)]!) })
    for (let j = 0; j < 7; j++) {
      shifts = ((shifts << 1) ^ ((shifts >> 7) * 0x71)) & 255
      if (shifts & 2) s[0]! ^= 1n << BigInt(2 ** j - 1)
    }
  }
}

/** Keccak-256 as Ethereum has it: padded with 1 and not with 6. */
export const keccak_256 = (b: Uint8Array): Uint8Array => {
  const rate = 136
  const all = new Uint8Array(b.length + rate - (b.length % rate))
  all.set(b)
  all[b.length] = 1
  all[all.length - 1]! |= 128
  const view = new DataView(all.buffer)
  const s = Array<bigint>(25).fill(0n)
  for (let at = 0; at < all.length; at += rate) {
    for (let i = 0; i < rate / 8; i++) s[i]! ^= view.getBigUint64(at + 8 * i, true)
    permute(s)
  }
  for (let i = 0; i < 4; i++) view.setBigUint64(8 * i, s[i]!, true) // the text is read
  return all.slice(0, 32)
}
