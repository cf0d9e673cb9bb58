#!/usr/bin/env node
// A second reader of writ's records, in another language and from other libraries, written from docs/record.md alone.
//
//   node reader.mjs run.car... [--keys run.keys.json] [--operator-key HEX]
//
// It hashes every block again, decodes every record and encodes it again, walks from the head to the first step and into the
// runs of sub-agents, opens the leaves that it has keys for, tells erased ones from sealed ones, and checks signatures: the
// operator's of the head, the wallet's of the permission, the session key's of the request, the issuer's of a delegation. It
// decides nothing again: that takes the rules, and is what writ-audit is for. It prints one JSON object a file, with "error"
// in it if there is something wrong, and then ends with 2.
import { readFile } from 'node:fs/promises'
import { createHash, createHmac, createPublicKey, verify } from 'node:crypto'
import { CarBlockIterator } from '@ipld/car'
import * as dagCbor from '@ipld/dag-cbor'
import { CID } from 'multiformats/cid'
import { base58btc } from 'multiformats/bases/base58'
import { create } from 'multiformats/hashes/digest'
import { sha256 } from 'multiformats/hashes/sha2'
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { p256 } from '@noble/curves/nist.js'
import { keccak_256 } from '@noble/hashes/sha3.js'

const RAW = 0x55
const utf8 = new TextEncoder()

class Wrong extends Error {}

function want (holds, what) {
  if (!holds) throw new Wrong(what)
}

const same = (a, b) => Buffer.compare(a, b) === 0

// blocks reads the file: section 6.
async function blocksOf (bytes) {
  const car = await CarBlockIterator.fromBytes(bytes)
  const roots = await car.getRoots()
  want(car.version === 1 && roots.length === 1, 'car.roots: not a CAR v1 with one root')
  const blocks = new Map()
  for await (const { cid, bytes } of car) {
    want(cid.version === 1 && (cid.code === dagCbor.code || cid.code === RAW) && cid.multihash.code === sha256.code,
      `link: ${cid} is of another kind`)
    want(bytes.length <= 262144, `block.size: ${cid}`)
    const hash = await sha256.digest(bytes)
    want(same(hash.bytes, cid.multihash.bytes), `block.hash: ${cid}`)
    want(!blocks.has(cid.toString()), `car.duplicate: ${cid}`)
    blocks.set(cid.toString(), bytes)
  }
  want(blocks.has(roots[0].toString()), 'car.root_missing')
  return { root: roots[0], blocks }
}

// A Run is a history being walked.
class Run {
  constructor (blocks, keys) {
    Object.assign(this, { blocks, keys, reached: new Set(), opened: 0, sealed: 0, withheld: 0, records: 0, leaves: new Map() })
  }

  // record returns the record that a link leads to: canonical (section 2), and of its kind (section 3).
  record (cid, version) {
    const name = cid.toString()
    const bytes = this.blocks.get(name)
    want(bytes, `links.missing: ${name}`)
    want(cid.code === dagCbor.code, `links.kind: ${name}`)
    let value
    try { value = dagCbor.decode(bytes) } catch (e) { throw new Wrong(`codec: ${name}: ${e.message}`) }
    want(same(dagCbor.encode(value), bytes), `codec: ${name} is not in its one spelling`)
    want(value.v === version, `schema.version: ${name} is ${value.v}, not ${version}`)
    this.reached.add(name)
    this.records++
    this.payloads(value)
    return value
  }

  // payloads opens what can be opened of a record: section 4.
  payloads (value) {
    if (Array.isArray(value)) value.forEach(v => this.payloads(v))
    if (value === null || typeof value !== 'object' || CID.asCID(value) || value instanceof Uint8Array || Array.isArray(value)) return
    const is = Object.keys(value).sort().join()
    if (is === 'ct,pc' || is === 'raw') return this.open(value)
    Object.values(value).forEach(v => this.payloads(v))
  }

  open (p) {
    const leaf = p.raw ?? p.ct
    const name = leaf.toString()
    want(leaf.code === RAW, `schema.type: ${name} is no leaf`)
    const bytes = this.blocks.get(name)
    const fresh = !this.leaves.has(name)
    if (!bytes) {
      if (fresh) this.withheld++
      this.leaves.set(name, undefined)
      return
    }
    this.reached.add(name)
    let plain
    if (p.raw) plain = bytes
    else if (this.keys[name]) plain = unseal(bytes, Buffer.from(this.keys[name], 'base64'), p.pc, name)
    if (fresh) plain ? this.opened++ : this.sealed++
    this.leaves.set(name, plain)
  }

  plain (p) { return this.leaves.get((p.raw ?? p.ct).toString()) }
}

const digest = (...parts) => createHash('sha256').update(Buffer.concat(parts.map(p => Buffer.from(p)))).digest()

function unseal (bytes, key, commitment, name) {
  const enc = digest('writ/leaf/1 seal  \n', key)
  const mac = digest('writ/leaf/1 commit\n', key)
  let padded
  try { padded = xchacha20poly1305(enc, new Uint8Array(24)).decrypt(bytes) } catch { throw new Wrong(`leaf.open: ${name}`) }
  const end = padded.lastIndexOf(0x80)
  want(end >= 0 && padded.subarray(end + 1).every(b => b === 0) && padme(end + 1) === padded.length, `leaf.open: ${name}: padding`)
  const plain = padded.subarray(0, end)
  want(same(createHmac('sha256', mac).update(plain).digest(), commitment), `leaf.commit: ${name}`)
  return plain
}

function padme (n) {
  if (n <= 64) return 64
  const e = Math.floor(Math.log2(n))
  const s = Math.floor(Math.log2(e)) + 1
  const unit = 2 ** (e - s)
  return Math.ceil(n / unit) * unit
}

function ed25519 (publicKey, message, signature) {
  const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), publicKey])
  return verify(null, message, createPublicKey({ key: spki, format: 'der', type: 'spki' }), signature)
}

// signer recovers the address that signed a text (EIP-191, version 0x45).
function signer (message, signature) {
  want(signature.length === 65, 'grant.signature: not 65 bytes')
  const prefix = utf8.encode(`\x19Ethereum Signed Message:\n${message.length}`)
  const hash = keccak_256(Buffer.concat([prefix, message]))
  const v = signature[64] >= 27 ? signature[64] - 27 : signature[64]
  want(v === 0 || v === 1, 'grant.signature: v')
  const point = secp256k1.Signature.fromBytes(signature.subarray(0, 64), 'compact').addRecoveryBit(v).recoverPublicKey(hash)
  return '0x' + Buffer.from(keccak_256(point.toBytes(false).subarray(1)).subarray(12)).toString('hex')
}

// linksIn lists every link of a block that need not be a record that is known here.
function linksIn (value, found = []) {
  const cid = CID.asCID(value)
  if (cid) found.push(cid)
  else if (Array.isArray(value)) value.forEach(v => linksIn(v, found))
  else if (value !== null && typeof value === 'object' && !(value instanceof Uint8Array)) Object.values(value).forEach(v => linksIn(v, found))
  return found
}

// signedBy checks a signature by the key of a did:key: Ed25519, P-256 or secp256k1, the last two over SHA-256.
function signedBy (did, message, sig) {
  want(did.startsWith('did:key:z') && sig?.length === 64, `no signature by ${did}`)
  const key = base58btc.decode(did.slice('did:key:'.length))
  switch (Buffer.from(key.subarray(0, 2)).toString('hex')) {
    case 'ed01': return ed25519(key.subarray(2), message, sig)
    case '8024': return p256.verify(sig, message, key.subarray(2), { lowS: false })
    case 'e701': return secp256k1.verify(sig, message, key.subarray(2))
  }
  throw new Wrong(`a key of another kind: ${did}`)
}

// frame is what a session key signs: six fields, each after its length.
function frame (session, ask, params) {
  const seq = Buffer.alloc(8)
  seq.writeBigUInt64BE(BigInt(ask.seq))
  const fields = ['writ/frame/1', session.bytes, ask.channel, seq, ask.method, digest(params)]
  return Buffer.concat(fields.flatMap(f => {
    const bytes = Buffer.from(f)
    const size = Buffer.alloc(4)
    size.writeUInt32BE(bytes.length)
    return [size, bytes]
  }))
}

// history walks one run from its head, and the runs of the sub-agents that it called: section 5.
function history (r, at, operator, checked, depth = 0) {
  want(depth <= 4, 'delegation.depth')
  const head = r.record(at, 'head/1')
  const { sig, ...bare } = head
  if (operator) {
    want(same(Buffer.from(operator, 'hex'), head.key), 'head.key')
    want(sig && ed25519(head.key, Buffer.concat([utf8.encode('writ/head/1\n'), dagCbor.encode(bare)]), sig), 'head.signature')
    checked.add('head')
  }
  const run = r.record(head.run, 'run/1')
  const agent = r.record(run.agent, 'agent/1')
  const grant = r.record(run.grant, 'grant/1')
  const rules = r.record(run.rules, 'policies/1')
  if (rules.under) want(!r.record(rules.under, 'policies/1').under, 'links.kind: a set under a set under a set')
  r.record(run.runtime, 'runtime/1')
  for (const l of agent.tools) r.record(l, 'tool/1')

  // The steps, from the newest to the first: each links to the one before, counts down, and is not newer.
  const steps = []
  const children = []
  let ask
  let before = { seq: head.seq + 1, at: head.erased ? Infinity : head.at }
  const answers = new Map()
  for (let l = head.step; l; steps.unshift(l), l = before.prev) {
    const s = r.record(l, 'step/1')
    want(s.run.equals(head.run), `history.run: step ${s.seq}`)
    want(s.seq === before.seq - 1, `history.seq: step ${s.seq}`)
    want(s.at <= before.at, `history.clock: step ${s.seq}`)
    want((s.prev === undefined) === (s.seq === 0), `schema.missing: step ${s.seq}: prev`)
    const [kind] = Object.keys(s.event)
    want((kind === 'ask') === (s.seq === 0), `history.ask: step ${s.seq}`)
    s.does.forEach((e, i) => answers.delete(`${s.seq}/${i}`))
    const of = s.event[kind].of
    if (of) {
      want(of.seq < s.seq, `history.of: step ${s.seq}`)
      want(!answers.has(`${of.seq}/${of.i}`), `history.twice: step ${s.seq}`)
      answers.set(`${of.seq}/${of.i}`, s.seq)
    }
    if (kind === 'ask') ask = s.event.ask
    if (s.event.result?.child) children.push({ child: s.event.result.child, of })
    before = s
  }
  want(before.seq === 0 && run.opened <= before.at, 'history.seq: the first step')
  want(answers.size === 0, 'history.of: an answer to nothing')

  // The index is that of the steps: rows of 256, and rows of rows.
  if (head.index) {
    const row = (kids, counts) => ({ v: 'index/1', kids, steps: counts.reduce((a, b) => a + b, 0) })
    let level = steps.map(l => ({ cid: l, steps: 1 }))
    let top
    do {
      const next = []
      for (let i = 0; i < level.length; i += 256) {
        const kids = level.slice(i, i + 256)
        top = row(kids.map(k => k.cid), kids.map(k => k.steps))
        const hash = createHash('sha256').update(dagCbor.encode(top)).digest()
        next.push({ cid: CID.createV1(dagCbor.code, create(sha256.code, hash)), steps: top.steps })
      }
      level = next
    } while (level.length > 1)
    want(r.blocks.has(head.index.toString()), `links.missing: ${head.index}`)
    want(level[0].cid.equals(head.index), `links.index: ${head.index}`)
  }

  // Under what it acts: the permission itself, or the delegations from it, each signed and for the call that opened the run.
  let first = run.agent // the agent that the wallet allowed
  let from = run.delegation
  for (let n = 1, inner = run.agent; from && !from.equals(run.grant); n++) {
    want(n <= 4, 'delegation.depth')
    const d = r.record(from, 'delegation/1')
    if (n === 1) want(run.parent && d.call.i === run.parent.i && d.call.step.equals(run.parent.step), 'delegation.call')
    want(d.agent.equals(inner), 'delegation.agent')
    const { sig, ...bare } = d
    want(signedBy(d.issuer, Buffer.concat([utf8.encode('writ/delegation/1\n'), dagCbor.encode(bare)]), sig), 'delegation.signature')
    first = undefined
    if (r.blocks.has(d.call.step.toString())) {
      const step = r.record(d.call.step, 'step/1')
      want(step.does[d.call.i]?.call, 'delegation.caller')
      const caller = r.record(step.run, 'run/1')
      first = inner = caller.agent
    }
    if (r.blocks.get(d.from.toString()) && dagCbor.decode(r.blocks.get(d.from.toString())).v === 'grant/1') {
      want(d.from.equals(run.grant), 'delegation.from')
    }
    from = d.from
    checked.add('delegation')
  }

  // The permission: the wallet that its text names signed exactly these bytes, for this agent under these rules.
  let wallet
  const message = r.plain(grant.message)
  const signature = r.plain(grant.sig)
  if (message && signature && grant.method === 'eoa') {
    const text = Buffer.from(message).toString('utf8')
    wallet = text.split('\n')[1]
    want(wallet.toLowerCase() === signer(Buffer.from(message), signature), 'grant.signature')
    want(!first || text.includes(first.toString()), 'grant.agent')
    want(text.includes(run.rules.toString()), 'grant.rules')
    want(run.delegation || text.includes(ask.key), 'grant.request: the session key')
    checked.add('grant')
  }
  // The request: signed by the key that the wallet named, or that delegated.
  const params = r.plain(ask.request)
  if (params) {
    if (run.delegation) want(ask.key === r.record(run.delegation, 'delegation/1').issuer, 'grant.request: the key')
    want(signedBy(ask.key, frame(run.delegation ?? run.grant, ask, params), ask.sig), 'grant.request')
    checked.add('request')
  }
  for (const { child, of } of children) {
    if (!r.blocks.has(child.toString())) continue // in another file
    const sub = history(r, child, operator, checked, depth + 1)
    want(sub.run.parent?.i === of.i && sub.run.parent.step.equals(steps[of.seq]), 'delegation.child')
  }

  // Erasures name leaves of this history, oldest first, none twice.
  const erased = new Set()
  let last = 0
  for (const l of head.erased ?? []) {
    const e = r.record(l, 'erasure/1')
    want(e.at >= last && e.at <= head.at, `history.clock: erasure ${l}`)
    last = e.at
    for (const leaf of e.leaves.map(String)) {
      want(r.leaves.has(leaf) && !erased.has(leaf), `leaf.erasure: ${leaf}`)
      erased.add(leaf)
    }
  }
  return { head, run, steps: steps.length, wallet, erased }
}

async function read (file, keyFile, operator) {
  const { root, blocks } = await blocksOf(await readFile(file))
  const keys = keyFile ? JSON.parse(await readFile(keyFile, 'utf8')).keys : {}
  const r = new Run(blocks, keys)
  const checked = new Set()
  const h = history(r, root, operator, checked)

  // Everything else that is linked to, such as address books, is there or is a leaf; and nothing else is in the file.
  const stack = [...r.reached].map(name => CID.parse(name))
  const seen = new Set(r.reached)
  while (stack.length > 0) {
    const l = stack.pop()
    const bytes = blocks.get(l.toString())
    if (!bytes) continue
    r.reached.add(l.toString())
    if (l.code !== dagCbor.code) continue
    for (const next of linksIn(dagCbor.decode(bytes))) {
      if (!seen.has(next.toString())) {
        seen.add(next.toString())
        stack.push(next)
      }
    }
  }
  for (const name of blocks.keys()) want(r.reached.has(name), `links.unreachable: ${name}`)
  const erased = [...h.erased].filter(l => !r.leaves.get(l))
  const gone = erased.filter(l => blocks.has(l)).length
  return {
    ok: true, root: root.toString(), run: h.head.run.toString(), steps: h.steps, blocks: blocks.size, records: r.records,
    leaves: { opened: r.opened, sealed: r.sealed - gone, withheld: r.withheld - (erased.length - gone), erased: erased.length },
    wallet: h.wallet, checked: [...checked]
  }
}

const args = process.argv.slice(2)
const flag = name => {
  const i = args.indexOf(name)
  return i < 0 ? undefined : args.splice(i, 2)[1]
}
const keyFile = flag('--keys')
const operator = flag('--operator-key')
if (args.length === 0) {
  console.error('usage: node reader.mjs run.car... [--keys run.keys.json] [--operator-key HEX]')
  process.exit(64)
}
for (const file of args) {
  try {
    console.log(JSON.stringify(await read(file, keyFile, operator)))
  } catch (e) {
    console.log(JSON.stringify({ ok: false, error: e.message }))
    process.exitCode = 2
  }
}
