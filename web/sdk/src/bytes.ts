const base58Digits = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
const base32Digits = 'abcdefghijklmnopqrstuvwxyz234567'

export const utf8 = (s: string): Uint8Array => new TextEncoder().encode(s)

export const toHex = (b: Uint8Array): string => Array.from(b, (x) => x.toString(16).padStart(2, '0')).join('')

export const fromHex = (s: string): Uint8Array => Uint8Array.from(s.match(/../g) ?? [], (x) => parseInt(x, 16))

export const bytesToInt = (b: Uint8Array): bigint => BigInt('0x' + (toHex(b) || '0'))

export const base58 = (b: Uint8Array): string => {
  let s = ''
  for (let n = bytesToInt(b); n > 0n; n /= 58n) s = base58Digits[Number(n % 58n)] + s
  return s
}

export const base64url = (b: Uint8Array): string =>
  btoa(String.fromCharCode(...b)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')

/** The bytes of a CIDv1 in base32. */
export const cidBytes = (cid: string): Uint8Array => {
  const out: number[] = []
  let bits = 0
  let value = 0
  for (const c of cid.slice(1)) {
    value = (value << 5) | base32Digits.indexOf(c)
    if ((bits += 5) >= 8) out.push((value >> (bits -= 8)) & 255)
    value &= (1 << bits) - 1
  }
  return Uint8Array.from(out)
}

/** Joins fields, each behind its length in four bytes, big-endian: what is signed (docs/protocol.md). */
export const joinFields = (fields: Uint8Array[]): Uint8Array<ArrayBuffer> => {
  const out = new Uint8Array(fields.reduce((n, f) => n + 4 + f.length, 0))
  const view = new DataView(out.buffer)
  let at = 0
  for (const f of fields) {
    view.setUint32(at, f.length)
    out.set(f, at + 4)
    at += 4 + f.length
  }
  return out
}
