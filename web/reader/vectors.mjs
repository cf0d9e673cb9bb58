#!/usr/bin/env node
// Judges the vectors of auth/testdata/vectors, or of tools/testdata/vectors: node vectors.mjs FOLDER prints a line of JSON for each case, {"file", "name",
// "code", "got"}, where got is the code of what is wrong, or empty.
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { canonical } from './arguments.mjs'
import { CID } from 'multiformats/cid'
import { approvalDigest, frameBytes, keyOf, parseMessage, readApproval, readSignature, recover, signIn, verifyBy, want, Wrong } from './signed.mjs'

const fill = (v, s) => v.fill ? s.replace(v.fill.mark, () => v.fill.with.repeat(v.fill.count)) : s
const raw = v => v.raw_hex === undefined ? Buffer.from(fill(v, v.raw ?? '')) : Buffer.from(v.raw_hex, 'hex')

const judges = {
  'parse.json': v => parseMessage(raw(v)),
  'signature.json': v => signIn(raw(v), readSignature(fill(v, v.signature)), v.expect),
  'signin.json': v => signIn(raw(v), readSignature(v.signature), v.expect),
  'frame.json': async v => {
    want(v.seq === v.next, 'seq_wrong')
    const session = v.session ? CID.parse(v.session).bytes : ''
    await verifyBy(keyOf(v.key), frameBytes(session, Buffer.from(v.channel, 'hex'), v.seq, v.method, v.params), Buffer.from(v.signature, 'hex'))
  },
  'approval.json': v => {
    const a = readApproval(v.message)
    const digest = approvalDigest(a)
    want(v.digest === '0x' + digest.toString('hex'), 'approval.digest')
    want(v.now <= a.notAfter, 'approval.expired')
    want(recover(digest, readSignature(v.signature)) === a.account, 'sig.signer')
  },
  'arguments.json': v => want(canonical(raw(v)) === v.recorded, 'arguments')
}
for (const [file, judge] of Object.entries(judges)) {
  if (!existsSync(join(process.argv[2], file))) continue
  for (const v of JSON.parse(await readFile(join(process.argv[2], file), 'utf8'))) {
    let got = ''
    try { await judge(v) } catch (e) { got = e instanceof Wrong ? e.code : `crash: ${e.stack}` }
    console.log(JSON.stringify({ file, name: v.name, code: v.code, got }))
  }
}
