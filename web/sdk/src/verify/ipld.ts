/** Links, canonical dag-cbor and CAR v1, as far as docs/record.md has them: in one spelling each, and all else refused. */
const alphabet = 'abcdefghijklmnopqrstuvwxyz234567'

const fail = (why: string): never => { throw new Error(why) }

/** A CID of version 1 with a SHA-256. */
export class CID {
  readonly version = 1
  readonly code: number
  readonly multihash: { code: number; bytes: Uint8Array }
  #text: string | undefined
  constructor(readonly bytes: Uint8Array) {
    if (bytes.length !== 36 || bytes[0] !== 1 || bytes[2] !== 0x12 || bytes[3] !== 32) fail('not a CID of version 1 with a SHA-256')
    this.code = bytes[1]!
    this.multihash = { code: 0x12, bytes: bytes.subarray(2) }
  }
  static createV1(code: number, digest: { bytes: Uint8Array }): CID { return new CID(new Uint8Array([1, code, ...digest.bytes])) }
  static asCID(v: unknown): CID | null { return v instanceof CID ? v : null }
  static parse(text: string): CID {
    const bytes = new Uint8Array(36)
    let acc = 0, have = 0, at = 0
    for (let i = 1; i < text.length; i++) {
      acc = (acc << 5) | alphabet.indexOf(text[i]!)
      if ((have += 5) >= 8) bytes[at++] = acc >> (have -= 8)
      acc &= (1 << have) - 1
    }
    const cid = new CID(bytes)
    return cid.toString() === text ? cid : fail('not in its one spelling')
  }
  toString(): string {
    if (this.#text) return this.#text
    let text = 'b', acc = 0, have = 0
    for (const b of this.bytes) {
      acc = (acc << 8) | b
      for (have += 8; have >= 5;) text += alphabet[(acc >> (have -= 5)) & 31]
      acc &= (1 << have) - 1
    }
    return (this.#text = text + alphabet[(acc << (5 - have)) & 31]) // 288 bits are 57 letters and 3 bits
  }
  equals(other: unknown): boolean { return other instanceof CID && compare(this.bytes, other.bytes) === 0 }
}

/** What multiformats calls a digest, and its hasher. */
export const create = (code: number, digest: Uint8Array): { bytes: Uint8Array } => ({ bytes: new Uint8Array([code, digest.length, ...digest]) })
export const sha256 = {
  code: 0x12,
  digest: async (b: Uint8Array<ArrayBuffer>): Promise<{ bytes: Uint8Array }> => create(0x12, new Uint8Array(await crypto.subtle.digest('SHA-256', b))),
}

export const code = 0x71
const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const utf8 = new TextEncoder()

/** What blocks say that were decoded, and from what: what is decoded is in its one spelling, so that need not be made again. */
const known = new WeakMap<Uint8Array, unknown>(), spelled = new WeakMap<object, Uint8Array>()

/** Reads a value in its one spelling, and refuses any other. */
export const decode = (b: Uint8Array): unknown => {
  if (known.has(b)) return known.get(b)
  const view = new DataView(b.buffer, b.byteOffset, b.length)
  let at = 0
  const take = (n: number): Uint8Array => {
    if (n > b.length - at) fail('it ends too soon')
    at += n
    return b.subarray(at - n, at)
  }
  const head = (): [number, number | bigint] => {
    const [first] = take(1) as unknown as [number]
    const info = first & 31
    if (info < 24) return [first >> 5, info]
    const size = info < 28 ? 1 << (info - 24) : fail('a length of another kind')
    const from = at
    take(size)
    const n = size === 1 ? view.getUint8(from) : size === 2 ? view.getUint16(from) : size === 4 ? view.getUint32(from) : view.getBigUint64(from)
    if (n < (size === 1 ? 24 : 2 ** (4 * size))) fail('a number in a longer form than needed')
    return [first >> 5, n <= Number.MAX_SAFE_INTEGER ? Number(n) : n]
  }
  const value = (): unknown => {
    const [kind, n] = head()
    const count = Number(n)
    switch (kind) {
      case 0: return n
      case 1: return typeof n === 'bigint' || n === Number.MAX_SAFE_INTEGER ? -1n - BigInt(n) : -1 - n
      case 2: return take(count)
      case 3: return words(take(count))
      case 4: {
        if (count > b.length - at) fail('more entries than bytes')
        const list: unknown[] = []
        for (let i = 0; i < count; i++) list.push(value())
        return list
      }
      case 5: {
        if (count > b.length - at) fail('more entries than bytes')
        const map: Record<string, unknown> = {}
        for (let i = 0, last: Uint8Array | undefined; i < count; i++) {
          const [kind, n] = head()
          if (kind !== 3) fail('a key that is no text')
          const key = take(Number(n)), name = words(key)
          if (name === '__proto__' || (last && before(key, last) <= 0)) fail('a key that stands twice, or not in its place')
          map[name] = value()
          last = key
        }
        return map
      }
      case 6: {
        const link = value()
        return n === 42 && link instanceof Uint8Array && link[0] === 0 ? new CID(link.subarray(1)) : fail('a tag that is no link')
      }
      default: return n === 20 ? false : n === 21 ? true : fail('a value of another kind')
    }
  }
  const v = value()
  if (at !== b.length) fail('bytes follow it')
  known.set(b, v)
  if (v && typeof v === 'object') spelled.set(v, b)
  return v
}

/** The text that bytes are; most are short and plain. */
const words = (b: Uint8Array): string => {
  if (b.length > 40) return text.decode(b)
  let s = ''
  for (const x of b) {
    if (x > 127) return text.decode(b)
    s += String.fromCharCode(x)
  }
  return s
}

export const encode = (v: unknown): Uint8Array => {
  const as = spelled.get(v as object)
  if (as) return as
  const out: number[] = []
  const head = (kind: number, n: number | bigint): void => {
    const size = n < 24 ? 0 : n < 256 ? 1 : n < 65536 ? 2 : n < 2 ** 32 ? 4 : 8
    out.push((kind << 5) | (size ? 24 + Math.log2(size) : Number(n)))
    for (let i = size - 1; i >= 0; i--) out.push(Number((BigInt(n) >> BigInt(8 * i)) & 255n))
  }
  const bytes = (kind: number, b: Uint8Array): void => {
    head(kind, b.length)
    for (const x of b) out.push(x)
  }
  const put = (v: unknown): void => {
    if (typeof v === 'number' || typeof v === 'bigint') v < 0 ? head(1, -1n - BigInt(v)) : head(0, v)
    else if (typeof v === 'string') bytes(3, utf8.encode(v))
    else if (typeof v === 'boolean') out.push(v ? 0xf5 : 0xf4)
    else if (v instanceof Uint8Array) bytes(2, v)
    else if (v instanceof CID) {
      out.push(0xd8, 42)
      bytes(2, new Uint8Array([0, ...v.bytes]))
    } else if (Array.isArray(v)) {
      head(4, v.length)
      v.forEach(put)
    } else {
      const keys = Object.entries(v as object).map(([k, w]) => [utf8.encode(k), w] as const)
        .sort(([a], [b]) => before(a, b))
      head(5, keys.length)
      for (const [k, w] of keys) {
        bytes(3, k)
        put(w)
      }
    }
  }
  put(v)
  return new Uint8Array(out)
}

const compare = (a: Uint8Array, b: Uint8Array): number => {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!
  return 0
}
/** The order of keys: the shorter, then byte by byte. */
const before = (a: Uint8Array, b: Uint8Array): number => a.length - b.length || compare(a, b)

/** Reads a CAR v1. */
export class CarBlockIterator {
  readonly version = 1
  private constructor(private readonly roots: CID[], private readonly rest: Uint8Array) {}
  static fromBytes(b: Uint8Array): CarBlockIterator {
    const [head, rest] = section(b)
    const h = decode(head) as { version?: unknown; roots?: unknown }
    if (h.version !== 1 || !Array.isArray(h.roots) || !h.roots.every((r) => r instanceof CID)) fail('not a CAR of version 1')
    return new CarBlockIterator(h.roots as CID[], rest)
  }
  getRoots(): CID[] { return this.roots }
  *[Symbol.iterator](): Generator<{ cid: CID; bytes: Uint8Array }> {
    for (let rest = this.rest, one; rest.length > 0;) {
      [one, rest] = section(rest)
      yield { cid: new CID(one.subarray(0, 36)), bytes: one.subarray(36) }
    }
  }
}

/** The part that a length begins, and what follows it. */
const section = (b: Uint8Array): [Uint8Array, Uint8Array] => {
  let n = 0, i = 0
  for (;; i++) {
    if (i >= 4 || i >= b.length) fail('a length that ends too soon, or is too long')
    n |= (b[i]! & 127) << (7 * i)
    if (b[i]! < 128) break
  }
  if (n > b.length - ++i) fail('it ends too soon')
  return [b.subarray(i, i + n), b.subarray(i + n)]
}
