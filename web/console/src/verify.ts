// Checks a record's file in this page, without any server: the second reader, which was written from docs/record.md.
import './buffer.ts'
// @ts-expect-error it is plain JavaScript
import { readRecord } from '../../reader/record.mjs'

/** What a reading found. */
export interface Reading {
  ok: boolean
  error?: string
  run?: string
  wallet?: string
  steps?: number
  blocks?: number
  leaves?: { opened: number; sealed: number; withheld: number; erased: number }
  checked?: string[]
  left?: string[]
}

export const readFile = async (car: Uint8Array, keyFile: string | undefined, operator: string | undefined): Promise<Reading> => {
  try {
    const keys = keyFile ? (JSON.parse(keyFile) as { keys?: Record<string, string> }).keys ?? {} : {}
    return (await readRecord(car, keys, operator || undefined)) as Reading
  } catch (e) {
    return { ok: false, error: e instanceof Error ? e.message : String(e) }
  }
}
