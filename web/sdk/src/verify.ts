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
  /** Where the head stands in the log, if that was asked and shown. */
  log?: { index: number; size: number }
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
  /** The log's verifier key, name+hash+key, got by another way than the file: then the head must stand in that log. */
  logKey?: string
  /** The receipts of this run that a client has kept: the file must have what they are for. They are read with `logKey`. */
  receipts?: string[]
}

/** Reads a CAR file. It throws nothing: what is wrong is said. */
export const verify = async (car: Uint8Array, { keys = {}, operatorKey, logKey, receipts }: VerifyOptions = {}): Promise<Reading> => {
  try {
    if (!globalThis.crypto?.subtle) return { ok: false, error: 'unsupported: no https' }
    if (operatorKey && !/^[0-9a-fA-F]{64}$/.test(operatorKey)) return { ok: false, error: 'head.key: an operator\'s key is 64 hex digits' }
    const known = typeof keys === 'string' ? (JSON.parse(keys) as { keys?: Record<string, string> }).keys ?? {} : keys
    return (await readRecord(car, known, operatorKey || undefined, logKey, receipts)) as Reading
  } catch (e) {
    const { name, message } = e as Error
    return { ok: false, error: name === 'NotSupportedError' ? 'unsupported: Ed25519' : message }
  }
}
