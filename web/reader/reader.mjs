#!/usr/bin/env node
// Reads files of records with record.mjs, which says what is checked and what is left to writ-audit.
//
//   node reader.mjs run.car... [--keys run.keys.json] [--operator-key HEX] [--log-key VKEY] [--receipt run.tlog-proof]
//
// It prints one JSON object a file, with "error" in it if there is something wrong, and then ends with 2.
import { readFile } from 'node:fs/promises'
import { readRecord } from './record.mjs'
import { Wrong } from './signed.mjs'

const args = process.argv.slice(2)
const flag = name => {
  const i = args.indexOf(name)
  return i < 0 ? undefined : args.splice(i, 2)[1]
}
const keyFile = flag('--keys')
const operator = flag('--operator-key')
const logKey = flag('--log-key')
const receipt = flag('--receipt')
if (args.length === 0) {
  console.error('usage: node reader.mjs run.car... [--keys run.keys.json] [--operator-key HEX] [--log-key VKEY] [--receipt run.tlog-proof]')
  process.exit(64)
}
const receipts = receipt ? [await readFile(receipt, 'utf8')] : []
const keys = keyFile ? JSON.parse(await readFile(keyFile, 'utf8')).keys : {}
for (const file of args) {
  try {
    console.log(JSON.stringify(await readRecord(await readFile(file), keys, operator, logKey, receipts)))
  } catch (e) {
    console.log(JSON.stringify({ ok: false, error: e instanceof Wrong || e.message.startsWith('unsupported') ? e.message : `crash: ${e.stack}` }))
    process.exitCode = 2
  }
}
