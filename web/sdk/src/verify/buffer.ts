/** The few of Node's Buffer that the reader of web/reader uses. */
const hexOf = (b: Uint8Array): string => b.reduce((s, x) => s + x.toString(16).padStart(2, '0'), '')
const latin = (b: Uint8Array): string => {
  let s = ''
  for (let i = 0; i < b.length; i += 8192) s += String.fromCharCode(...b.subarray(i, i + 8192))
  return s
}

export class Buffer extends Uint8Array {
  static override from(v: unknown, how?: unknown): Buffer {
    if (typeof v !== 'string') return new Buffer(v as Uint8Array)
    if (how === 'hex') return new Buffer((v.match(/../g) ?? []).map((h) => parseInt(h, 16)))
    if (how === 'base64') {
      const plain = atob(v)
      return new Buffer(plain.length).map((_, i) => plain.charCodeAt(i)) as Buffer
    }
    return new Buffer(new TextEncoder().encode(v))
  }
  static alloc(n: number): Buffer { return new Buffer(n) }
  static concat(parts: (Uint8Array | string)[]): Buffer {
    const all = new Buffer(parts.reduce((n, p) => n + p.length, 0))
    let at = 0
    for (const p of parts as Uint8Array[]) {
      all.set(p, at)
      at += p.length
    }
    return all
  }
  static compare(a: Uint8Array, b: Uint8Array): number {
    for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i]! - b[i]!
    return a.length - b.length
  }
  override toString(how?: string): string {
    return how === 'hex' ? hexOf(this) : how === 'base64' ? btoa(latin(this)) : how === 'latin1' ? latin(this) : new TextDecoder('utf-8', { ignoreBOM: true }).decode(this)
  }
  writeUInt32BE(n: number): void { new DataView(this.buffer, this.byteOffset).setUint32(0, n) }
  writeBigUInt64BE(n: bigint): void { new DataView(this.buffer, this.byteOffset).setBigUint64(0, n) }
}
