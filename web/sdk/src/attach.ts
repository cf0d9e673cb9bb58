/** Files that go with a request: what is taken is said before anything is sent, and what was sent once is not sent again. */
import { toHex, utf8 } from './bytes.ts'
import type { WritError } from './errors.ts'
import type { Session } from './session.ts'
import type { Attached } from './wire.ts'
import { failure } from './index.js'

/** A File or Blob of the browser, bytes, or a text; with a `name` it is called by that, and a `type` goes before what the name says. */
export type Attachable = Blob | Uint8Array | string | { data: Blob | Uint8Array | string; name?: string; type?: string }

export interface AttachOptions {
  /** Told how many bytes of all the files the server has, first and after each piece. */
  onProgress?: (have: number, all: number) => void
  /** Stops between two pieces. What is there already stays for 15 minutes, and is not sent again. */
  signal?: AbortSignal
}

const piece = 96 << 10
const images: [string, string][] = [['image/png', '89504e470d0a1a0a'], ['image/jpeg', 'ffd8ff'], ['image/gif', '474946383[79]61'],
  ['image/webp', '52494646........57454250']]
const texts: Record<string, string> = { md: 'text/markdown', markdown: 'text/markdown', csv: 'text/csv', json: 'application/json', html: 'text/html', htm: 'text/html' }

const refuse = (says: string): WritError => failure('invalid_params', `A file cannot be attached: ${says}.`)

const bytesOf = async (data: Blob | Uint8Array | string): Promise<Uint8Array<ArrayBuffer>> =>
  typeof data === 'string' ? utf8(data) : new Uint8Array('arrayBuffer' in data ? await data.arrayBuffer() : data)

/** What a file is: an image by its bytes, a text by what it is called. It throws if it is none that is taken. */
const typeOf = (b: Uint8Array, name: string, said: string, it: string): string => {
  const head = toHex(b.subarray(0, 12))
  const image = images.find(([, begins]) => RegExp('^' + begins).test(head))
  if (image) return image[0]
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(b)
  } catch {
    text = '\0'
  }
  if (/[^\P{Cc}\n\r\t\f\u0080-\u009f]/u.test(text)) throw refuse(`${it} is neither PNG, JPEG, WebP or GIF nor text; save it as one of these`)
  const type = /^(text\/[a-z0-9.+-]+|application\/json)$/.test(said) ? said : texts[name.replace(/.*\./, '').toLowerCase()] ?? 'text/plain'
  if (type === 'application/json') try { JSON.parse(text) } catch { throw refuse(`${it} is called JSON, and is not`) }
  return type
}

/** The CID of bytes: version 1, raw, SHA-256. */
const cidOf = async (b: Uint8Array<ArrayBuffer>): Promise<string> => {
  const bits = BigInt('0x01551220' + toHex(new Uint8Array(await crypto.subtle.digest('SHA-256', b)))) << 2n
  return 'b' + bits.toString(32).padStart(58, '0').replace(/./g, (d) => 'abcdefghijklmnopqrstuvwxyz234567'[parseInt(d, 32)]!)
}

/** How the protocol may name a file: what it cannot have in it becomes a blank, and it has at most 100 bytes. */
const nameOf = (name: string): string => {
  let s = name.replace(/[\0-\x1f\x7f/\\"<>]/g, ' ').trim()
  while (utf8(s).length > 100) s = [...s].slice(1).join('') // the end says what it is
  return s
}

/**
 * Puts files on the server and returns what a request names them by: `session.run(text, { attach: await attach(session, [file]) })`.
 * At most 8 and 8 MiB: images of 4 MiB, texts of 256 KiB. Whatever is not taken is a WritError of `invalid_params` whose
 * message says which and why, before anything is sent. The server keeps a file for an hour after it was last attached.
 */
export const attach = async (session: Session, files: Attachable[], { onProgress, signal }: AttachOptions = {}): Promise<Attached[]> => {
  const all = new Map<string, { named: Attached; data: Uint8Array }>() // the same bytes go once
  if (files.length > 8) throw refuse(`a request attaches 8 files at most, not ${files.length}`)
  let total = 0
  for (const f of files) {
    const { data, name = (f as File).name ?? '', type = '' } = typeof f === 'object' && 'data' in f ? f : { data: f, type: (f as File).type }
    const called = nameOf(name)
    const it = called ? `"${called}"` : 'it'
    const most = (size: number, bound: number, what: string): void => { if (size > bound) throw refuse(`${it} has ${size} bytes; of ${what}, at most ${bound} are taken`) }
    most((data as Blob).size ?? 0, 4 << 20, 'a file')
    const b = await bytesOf(data)
    if (!b.length) throw refuse(`${it} is empty`)
    most(b.length, 4 << 20, 'a file')
    const is = typeOf(b, called, type.split(';')[0]!.trim().toLowerCase(), it)
    if (!is.startsWith('image/')) most(b.length, 256 << 10, 'a text')
    const cid = await cidOf(b)
    if (!all.has(cid)) total += b.length
    all.set(cid, { named: { cid, size: b.length, type: is, ...(called && { name: called }) }, data: b })
  }
  if (total > 8 << 20) throw refuse(`the files have ${total} bytes together; at most 8388608 are taken with one request`)
  let before = 0
  onProgress?.(0, total)
  for (const { named: { cid, size }, data } of all.values()) {
    for (let have = 0, whole = false, part = 0; !whole; part = piece) { // the first, which is empty, asks what is there
      signal?.throwIfAborted()
      let bytes = ''
      for (const x of data.subarray(have, have + part)) bytes += String.fromCharCode(x)
      ;({ have, whole } = await session.call('blob.put', { cid, size, offset: have, ...(part && { data: btoa(bytes) }) }))
      onProgress?.(before + have, total)
    }
    before += size
  }
  return [...all.values()].map((x) => x.named)
}
