/**
 * Checks a run's record in the page, without any server: hashes, links, signatures, the permission and its sentence, the
 * request, approvals. It is the second reader of web/reader, which was written from docs/record.md.
 */
// @ts-expect-error it is plain JavaScript
import { readRecord } from '../../reader/record.mjs'

/** What a reading found. */
export interface Reading {
  /** Whether nothing is wrong in what was checked. */
  ok: boolean
  /** What is wrong: the code of docs/record.md, or a library's words. `unsupported`: this browser cannot check it. */
  error?: string
  root?: string
  run?: string
  wallet?: string
  steps?: number
  blocks?: number
  records?: number
  leaves?: { opened: number; sealed: number; withheld: number; erased: number; reopened: number }
  /** The checks that were made. */
  checked?: string[]
  /** The checks of writ-audit that are not made here. */
  left?: string[]
}

export interface VerifyOptions {
  /** What opens sealed payloads: the file of keys, or its `keys` as provenance.get gives them. */
  keys?: string | Record<string, string>
  /** The operator's public key, 64 hex digits, got by another way than the file. Without it anybody can make such a file. */
  operatorKey?: string
}

/** Reads a CAR file. It throws nothing: what is wrong is said. */
export const verify = async (car: Uint8Array, { keys = {}, operatorKey }: VerifyOptions = {}): Promise<Reading> => {
  try {
    if (!globalThis.crypto?.subtle) return { ok: false, error: 'unsupported: this page is not of https or of this machine, so the browser checks no signatures' }
    if (operatorKey && !/^[0-9a-fA-F]{64}$/.test(operatorKey)) return { ok: false, error: 'head.key: an operator\'s key is 64 hex digits' }
    const known = typeof keys === 'string' ? (JSON.parse(keys) as { keys?: Record<string, string> }).keys ?? {} : keys
    return (await readRecord(car, known, operatorKey || undefined)) as Reading
  } catch (e) {
    const { name, message } = e as Error
    return { ok: false, error: name === 'NotSupportedError' ? 'unsupported: this browser cannot check Ed25519' : message }
  }
}
