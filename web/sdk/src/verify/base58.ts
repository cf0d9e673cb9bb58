/** Base58 of multibase, with its z. */
const letters = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
export const base58btc = {
  decode: (s: string): Uint8Array => {
    const digits = [...s.slice(1)].map((c) => letters.indexOf(c))
    if (s[0] !== 'z' || digits.includes(-1) || s.length > 128) throw new Error('not base58')
    const zeros = digits.findIndex((d) => d !== 0)
    const n = digits.reduce((n, d) => n * 58n + BigInt(d), 0n)
    const hex = n ? n.toString(16) : ''
    return new Uint8Array([...Array(zeros < 0 ? digits.length : zeros).fill(0), ...((hex.length % 2 ? '0' : '') + hex).match(/../g)?.map((h) => parseInt(h, 16)) ?? []])
  },
  encode: (b: Uint8Array): string => {
    let s = ''
    for (let n = b.reduce((n, x) => n * 256n + BigInt(x), 0n); n > 0n; n /= 58n) s = letters[Number(n % 58n)] + s
    const zeros = b.findIndex((x) => x !== 0)
    return 'z' + '1'.repeat(zeros < 0 ? b.length : zeros) + s
  },
}
