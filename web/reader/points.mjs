// Whether the bytes of a public key are a point of its curve, in its one spelling.
export const power = (b, e, p) => {
  let r = 1n
  for (b %= p; e > 0n; e >>= 1n, b = b * b % p) if (e & 1n) r = r * b % p
  return r
}
const number = bytes => bytes.reduce((n, b) => n << 8n | BigInt(b), 0n)

const p256 = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n
const curves = {
  p256: [p256, p256 - 3n, 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn],
  secp256k1: [2n ** 256n - 2n ** 32n - 977n, 0n, 7n]
}

// uncompress returns x and y, 32 bytes each, of a compressed point of p256 or secp256k1, or nothing if it is none.
export function uncompress (kind, raw) {
  const [p, a, b] = curves[kind]
  const x = number(raw.subarray(1))
  if ((raw[0] !== 2 && raw[0] !== 3) || x >= p) return undefined
  const square = (x * x * x + a * x + b) % p
  let y = power(square, (p + 1n) / 4n, p)
  if (y * y % p !== square) return undefined
  if (Number(y & 1n) !== (raw[0] & 1)) y = p - y
  return [x, y].map(n => Uint8Array.from(n.toString(16).padStart(64, '0').match(/../g), h => parseInt(h, 16)))
}

const p25519 = 2n ** 255n - 19n
const d25519 = p25519 - 121665n * power(121666n, p25519 - 2n, p25519) % p25519

// The y of the points of small order whose x is not 0: two of order 8, one of order 4.
const small = [0n, 0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n,
  0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n]

// isEd25519 says whether bytes are a point of Ed25519 that is not of small order.
export function isEd25519 (raw) {
  const p = p25519
  const y = number(Uint8Array.from(raw).reverse()) & (2n ** 255n - 1n)
  if (y >= p || small.includes(y)) return false
  const square = (y * y - 1n + p) * power(d25519 * y * y + 1n, p - 2n, p) % p // of x; if x is 0 the order is 1 or 2
  return square !== 0n && power(square, (p - 1n) / 2n, p) === 1n
}

// base32 writes bytes by an alphabet of 32, the last bits filled up with zeros.
export function base32 (bytes, alphabet) {
  let bits = [...bytes].map(b => b.toString(2).padStart(8, '0')).join('')
  let s = ''
  for (; bits; bits = bits.slice(5)) s += alphabet[parseInt(bits.slice(0, 5).padEnd(5, '0'), 2)]
  return s
}
