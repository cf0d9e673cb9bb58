const base32Digits = 'abcdefghijklmnopqrstuvwxyz234567'

export const utf8 = (s: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(s)

export const toHex = (b: Uint8Array): string => Array.from(b, (x) => x.toString(16).padStart(2, '0')).join('')

export const fromHex = (s: string): Uint8Array => Uint8Array.from(s.match(/../g) ?? [], (x) => parseInt(x, 16))

export const bytesToInt = (b: Uint8Array): bigint => BigInt('0x' + (toHex(b) || '0'))

export const intToBytes = (n: bigint, length: number): Uint8Array => fromHex(n.toString(16).padStart(2 * length, '0'))

export const base64url = (b: Uint8Array): string =>
  btoa(String.fromCharCode(...b)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')

/** The bytes of a CIDv1 in base32, five bits a digit; what is over at the end is padding. */
export const cidBytes = (cid: string): Uint8Array => {
  let n = 0n
  for (const c of cid.slice(1)) n = n * 32n + BigInt(base32Digits.indexOf(c))
  const bits = cid.length * 5 - 5
  return intToBytes(n >> BigInt(bits % 8), bits >> 3)
}

/** Joins fields, each behind its length in four bytes, big-endian: what is signed (docs/protocol.md). All are short. */
export const joinFields = (fields: Uint8Array[]): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(fields.flatMap((f) => [0, 0, 0, f.length, ...f]))
