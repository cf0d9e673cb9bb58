// A second reader of writ's records, in another language and from other libraries, written from docs/record.md alone.
//
// It hashes every block again, decodes every record and encodes it again, walks from the head to the first step and into the
// runs of sub-agents, opens the leaves that it has keys for, tells erased ones from sealed ones, and checks signatures: the
// operator's of the head, the wallet's of the permission, the session key's of the request, the issuer's of a delegation.
// So are the signatures of what the user sent into the run later. The files that a request names are held to their bytes. It recomputes what is signed: the sentence of a permission from its caveats, and the other way round, the frame of a
// request, the one spelling of arguments, the typed data of an approval from what was asked, and whose signature each is. That the permission covers
// tools, times and origin follows from that, and is checked. reader.mjs is the program, and the page of the
// server uses it too.
//
// Left to writ-audit, by the names of its checks, and printed as "left": decisions, context, replies, totals and transfers,
// which take the loop, the rules and the dialects of providers; log, unless its key is given, and then witnesses and anchors; of schema, keys and kinds of values;
// of history, which call an effect is of; of cover, chains; of grant, revocations; of contract wallets, whether a chain says what is recorded of it;
// of delegations, their form, limits, labels, inputs and outcomes; of forks, what they are told and what shared steps decide.
import { createHash, createHmac } from 'node:crypto'
import { CarBlockIterator } from '@ipld/car'
import * as dagCbor from '@ipld/dag-cbor'
import { CID } from 'multiformats/cid'
import { create } from 'multiformats/hashes/digest'
import { sha256 } from 'multiformats/hashes/sha2'
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js'
import { canonical, checkRequest } from './arguments.mjs'
import {
  approvalDigest, approvalOf, assertionDigest, ed25519Verify, frameBytes, grantCovers, keyOf, openGrant, readApproval, readGrant, recover, same, sorted,
  sha256 as digest, verifyBy, want, Wrong
} from './signed.mjs'

// wantSpoken wants the record of what a contract wallet's chain said of what it signed, asked by then.
const wantSpoken = (r, of, chain, by, code) => {
  const said = of.verification && r.record(of.verification, 'verification/1')
  want(said && said.method === of.method && said.chain === chain && said.at <= by, code)
}

// left are the checks of writ-audit that are not made here.
const left = ['decisions', 'context', 'replies', 'totals', 'transfers', 'log']

const RAW = 0x55
const utf8 = new TextEncoder()

// blocksOf reads the file: section 6. What the library refuses has no code here.
async function blocksOf (bytes) {
  try {
    return await readBlocks(bytes)
  } catch (e) { throw e instanceof Wrong ? e : new Wrong(`car: ${e.message}`) }
}

async function readBlocks (bytes) {
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

// linksIn lists every link of a block that need not be a record that is known here.
function linksIn (value, found = []) {
  const cid = CID.asCID(value)
  if (cid) found.push(cid)
  else if (Array.isArray(value)) value.forEach(v => linksIn(v, found))
  else if (value !== null && typeof value === 'object' && !(value instanceof Uint8Array)) Object.values(value).forEach(v => linksIn(v, found))
  return found
}

// signedBy checks a signature by the key of a did:key, and says which rule is broken if it is none.
async function signedBy (did, message, sig, code) {
  try { await verifyBy(keyOf(did), message, sig) } catch (e) { throw e instanceof Wrong ? new Wrong(code, e.message) : e }
}

// kindOf returns what record a link leads to; nothing if it is none of this file.
function kindOf (r, cid) {
  try { return dagCbor.decode(r.blocks.get(cid.toString())).v } catch { return undefined }
}

// checkHead checks a head's signature by the key that it names.
async function checkHead ({ sig, ...bare }) {
  want(sig && await ed25519Verify(bare.key, Buffer.concat([utf8.encode('writ/head/1\n'), dagCbor.encode(bare)]), sig), 'head.signature')
  return bare
}

// checkAttached checks the files beside a request. A page loads what that takes only if there are any.
async function checkAttached (r, { files }, { attach }, checked) {
  if (attach || files) (await import('./files.mjs')).checkFiles(r, attach, files, checked)
}

// history walks one run from its head, and the runs of the sub-agents that it called: section 5. What a fork shares with
// another run is walked from a step, under no head of its own.
async function history (r, at, operator, checked, depth = 0, forks = 0) {
  want(depth <= 4, 'delegation.depth')
  want(forks <= 32, 'fork.step')
  const shared = forks > 0 && r.record(at, 'step/1')
  const head = shared ? { run: shared.run, seq: shared.seq, step: at, at: shared.at } : r.record(at, 'head/1')
  if (operator && !shared) {
    want(same(Buffer.from(operator, 'hex'), head.key), 'head.key')
    await checkHead(head)
    checked.add('head')
  }
  const run = r.record(head.run, 'run/1')
  const agent = r.record(run.agent, 'agent/1')
  const grant = r.record(run.grant, 'grant/1')
  const rules = r.record(run.rules, 'policies/1')
  if (rules.under) want(!r.record(rules.under, 'policies/1').under, 'links.kind: a third set of rules')
  r.record(run.runtime, 'runtime/1')
  for (const l of agent.tools) r.record(l, 'tool/1')

  // The steps, from the newest to the first: each links to the one before, counts down, and is not newer.
  const steps = []
  const children = []
  const verdicts = []
  const sends = []
  const calls = []
  const seeks = new Map()
  let ask
  let before = { seq: head.seq + 1, at: head.erased ? Infinity : head.at }
  const answers = new Map() // to effects of earlier steps, by their kind
  const answered = new Set()
  const answeredBy = new Map() // the same, and by what
  const acts = new Map() // calls that change something outside
  let closed
  for (let l = head.step; l; steps.unshift(l), l = before.prev) {
    const s = r.record(l, 'step/1')
    want(s.run.equals(head.run), `history.run: step ${s.seq}`)
    want(s.seq === before.seq - 1, `history.seq: step ${s.seq}`)
    want(s.at <= before.at, `history.clock: step ${s.seq}`)
    want((s.prev === undefined) === (s.seq === 0), `schema.missing: step ${s.seq}: prev`)
    const [kind] = Object.keys(s.event)
    const of = s.event[kind].why === 'slow' ? undefined : s.event[kind].of // that a model is slow answers nothing
    if (of) want(of.seq < s.seq, 'history.of', `step ${s.seq}`)
    const begins = kind === 'ask' && s.event.ask.method !== 'run.send' // what is sent later is a request too, of a run that goes on
    want(begins === (s.seq === 0), `history.ask: step ${s.seq}`)
    s.does.forEach((e, i) => {
      const [effect] = Object.keys(e)
      const by = answers.get(`${s.seq}/${i}`)
      answers.delete(`${s.seq}/${i}`)
      const wants = e.call?.phase === 'ask' ? 'ask' : { ask: 'reply', call: 'result', seek: 'verdict' }[effect]
      want(!by || (wants && (by === wants || by === 'lapse')), 'history.kind', `step ${s.seq}`)
      if (e.close) {
        want(s.seq === head.seq && i === s.does.length - 1, 'history.close', `step ${s.seq}`)
        closed = e.close.reason
      }
    })
    s.does.forEach((e, i) => want(closed !== 'answered' || !(e.ask || e.call || e.seek) || answered.has(`${s.seq}/${i}`),
      'history.unanswered', `step ${s.seq}`))
    if (of) {
      want(!answers.has(`${of.seq}/${of.i}`), `history.twice: step ${s.seq}`)
      answers.set(`${of.seq}/${of.i}`, kind)
      answered.add(`${of.seq}/${of.i}`)
      answeredBy.set(`${of.seq}/${of.i}`, s.event)
    }
    if (begins) ask = s.event.ask
    else if (kind === 'ask') sends.unshift({ seq: s.seq, ask: s.event.ask })
    if (s.event.verdict?.approval) verdicts.push({ at: s.at, of: s.event.verdict.of, approval: s.event.verdict.approval })
    s.does.forEach((e, i) => {
      if (e.seek) seeks.set(`${s.seq}/${i}`, e.seek)
      if (e.call) calls.push({ at: s.at, call: e.call })
      if (e.call && e.call.class !== 'read' && !['simulate', 'sign'].includes(e.call.phase)) acts.set(`${s.seq}/${i}`, e.call)
    })
    if (s.event.result?.child) children.push({ child: s.event.result.child, of })
    before = s
  }
  want(before.seq === 0 && run.opened <= before.at, 'history.seq')
  want(answers.size === 0, 'history.of')

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
    want(n > 1 || (run.opened >= d.at && run.opened < d.expires), 'delegation.later')
    const { sig, ...bare } = d
    await signedBy(d.issuer, Buffer.concat([utf8.encode('writ/delegation/1\n'), dagCbor.encode(bare)]), sig, 'delegation.signature')
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

  // The permission: its sentence is that of its caveats, the wallet that it names signed exactly these bytes, for this agent
  // under these rules, and the run was opened in its time.
  let wallet, permission
  want(['eoa', 'eip1271', 'eip6492'].includes(grant.method), 'grant.method')
  const message = r.plain(grant.message)
  const signature = r.plain(grant.sig)
  if (message && signature) {
    try {
      permission = grant.method === 'eoa' ? openGrant(message, signature) : readGrant(message)
    } catch (e) { throw new Wrong('grant.signature', e.message) }
    wallet = permission.address
    want(run.delegation || permission.agent === agent.name, 'grant.agent', 'the name')
    want(!first || permission.agentCID === first.toString(), 'grant.agent')
    want(permission.rulesCID === run.rules.toString(), 'grant.rules')
    want(!rules.under || rules.origin === permission.origin, 'grant.origin')
    want(grantCovers(permission, run.opened), 'grant.time')
    if (grant.method !== 'eoa') wantSpoken(r, grant, permission.chain, run.opened, 'grant.verification')
    want(run.delegation || permission.key.did === ask.key, 'grant.request', 'the session key')
    checked.add(grant.method === 'eoa' ? 'grant' : 'grant text')
    for (const { at, call } of calls) {
      const tool = r.record(call.tool, 'tool/1')
      want(permission.tools.includes(tool.name), 'cover.tool', tool.name)
      want(BigInt(at) * 1000000n < permission.expires, 'cover.time')
    }
    if (calls.length) checked.add('cover')
  }
  // The request: signed by the key that the wallet named, or that delegated.
  const params = r.plain(ask.request)
  if (params) {
    if (run.delegation) want(ask.key === r.record(run.delegation, 'delegation/1').issuer, 'grant.request', 'the key')
    await signedBy(ask.key, frameBytes((run.delegation ?? run.grant).bytes, ask.channel, ask.seq, ask.method, params), ask.sig, 'grant.request')
    checked.add('request')
  }
  let step // what another API's body asks is for the loop
  if (params && ask.method.startsWith('run.')) {
    const asked = checkRequest(params, ask.method)
    step = asked.step
    await checkAttached(r, ask, asked, checked)
  }
  // A fork goes on from the step that was signed for, of a run of the same wallet and agent, whose steps up to there hold.
  want(ask.method !== 'run.fork' || (ask.after && ask.earlier), 'schema.missing')
  if (step) {
    want(step === ask.after.toString(), 'fork.step')
    const kind = kindOf(r, ask.after)
    want(kind === undefined || kind === 'step/1', 'fork.step', kind)
    if (kind) {
      let from
      try { from = await history(r, ask.after, operator, checked, depth, forks + 1) } catch (e) {
        throw e instanceof Wrong && !e.code.startsWith('fork.') ? new Wrong('fork.shared', e.code) : e
      }
      want(!from.wallet || !wallet || from.wallet === wallet, 'fork.other')
      want(from.agent === agent.name && !from.run.delegation, 'fork.other')
      checked.add('shared steps')
    }
  }
  // What the user said later: signed by the same key for this run, in order, none twice.
  const sent = new Set()
  let [channel, number] = [ask.channel, ask.seq]
  for (const { seq, ask: more } of sends) {
    const text = r.plain(more.request)
    if (!text) continue
    await signedBy(more.key, frameBytes(run.grant.bytes, more.channel, more.seq, more.method, text), more.sig, 'grant.request')
    want(!permission || permission.key.did === more.key, 'grant.request', 'the session key')
    const said = checkRequest(text, more.method)
    want(!run.delegation && said.run === head.run.toString(), 'decisions.event', `step ${seq} is for another run`)
    const of = more.of && { seq: more.of.seq, index: more.of.i }
    want((said.of === undefined) === (of === undefined) && (!of || (said.of.seq === of.seq && said.of.index === of.index)),
      'decisions.event', `step ${seq} answers another question`)
    want(!same(more.channel, channel) || more.seq > number, 'decisions.event', `step ${seq} was sent before what has come`)
    want(!sent.has(said.idempotency_key), 'decisions.event', `step ${seq} was sent before`)
    sent.add(said.idempotency_key)
    await checkAttached(r, more, said, checked)
    ;[channel, number] = [more.channel, more.seq]
    checked.add('sent')
  }
  // Arguments: each call's are in their one spelling, which is what an approval's argsHash is of.
  for (const { call } of calls) {
    const args = r.plain(call.args)
    if (!args) continue
    let spelled
    try { spelled = canonical(args) } catch (e) { throw new Wrong('decisions.effect', e.message) }
    want(spelled === Buffer.from(args).toString(), 'decisions.effect', 'another spelling')
    checked.add('arguments')
  }
  // Approvals: for exactly what was asked, by the wallet, in time.
  for (const { at, of, approval } of verdicts) {
    const seek = seeks.get(`${of.seq}/${of.i}`)
    const [summary, text, sig] = [seek && r.plain(seek.summary), r.plain(approval.message), r.plain(approval.sig)]
    if (!permission || !summary || !text || !sig) continue
    const due = approvalOf(permission, run.grant, head.run, steps[of.seq], of, seek, Buffer.from(summary).toString())
    want(sorted(due) === Buffer.from(text).toString(), 'approvals.other')
    const a = readApproval(Buffer.from(text).toString())
    want(at <= 1000 * a.notAfter, 'approvals.late')
    if (approval.method !== 'eoa') { // what its contract says is for its chain to tell
      wantSpoken(r, approval, permission.chain, at, 'approvals.verification')
      continue
    }
    let who
    try { who = recover(approvalDigest(a), Buffer.from(sig)) } catch (e) { throw new Wrong('approvals.signature', e.message) }
    want(who === permission.address, 'approvals.signature')
    checked.add('approvals')
  }
  for (const { child, of } of children) {
    if (!r.blocks.has(child.toString())) continue // in another file
    const sub = await history(r, child, operator, checked, depth + 1)
    want(sub.run.parent?.i === of.i && sub.run.parent.step.equals(steps[of.seq]), 'delegation.child')
  }

  // Assertions are of calls in doubt, in the step that they name, oldest first, one a call, each signed by its wallet.
  const asserted = new Set()
  let said = 0
  for (const l of head.asserted ?? []) {
    const a = r.record(l, 'assertion/1')
    const at = `${a.of.seq}/${a.of.i}`
    want(a.at >= said && a.at <= head.at, 'history.clock', `assertion ${l}`)
    said = a.at
    want(!asserted.has(at), 'history.asserted_twice', at)
    asserted.add(at)
    const call = acts.get(at)
    want(a.run.equals(head.run) && closed && call && a.step.equals(steps[a.of.seq]), 'history.asserted', at)
    const by = answeredBy.get(at)
    const status = by?.result?.status
    const known = by?.result && (status === 'pending' || (status === 'error' && call.phase !== 'final') || (status === 'ok' && call.class !== 'chain'))
    want(!known, 'history.asserted', `${at}: the history says what came of it`)
    if (a.method !== 'eoa') continue // what its chain said is left
    let who
    try { who = recover(assertionDigest(a), Buffer.from(a.sig)) } catch (e) { throw new Wrong('head.assertion', e.message) }
    want(who.toLowerCase() === '0x' + Buffer.from(a.by).toString('hex'), 'head.assertion')
    checked.add('assertions')
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
  return { head, run, steps, wallet, erased, agent: agent.name }
}

function isReceipt (root, blocks) {
  try { return root.code === dagCbor.code && dagCbor.decode(blocks.get(root.toString())).v === 'receipt/1' } catch { return false }
}

// readRecord reads the bytes of a CAR file with the keys of its leaves, by CID, and the operator's key in hex, if there
// is one. Of the log it takes the verifier key, and the receipts that clients hold. What is wrong is thrown as Wrong.
export async function readRecord (file, keys, operator, logKey, receipts = []) {
  const { root, blocks } = await blocksOf(file)
  const r = new Run(blocks, keys)
  const checked = new Set()
  const { head, proof } = isReceipt(root, blocks) ? r.record(root, 'receipt/1') : { head: root } // section 6
  const h = await history(r, head, operator, checked)
  let log
  if (logKey) {
    const { checkLog } = await import('./log.mjs') // a page loads it only then
    const openHead = b => checkHead({ ...dagCbor.decode(b), key: h.head.key })
    log = await checkLog(logKey, proof && blocks.get(proof.toString()), receipts, h, head, openHead)
    if (log) checked.add('log')
  }

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
  const reopened = h.erased.size - erased.length // named as erased, and somebody had kept the key
  const gone = erased.filter(l => blocks.has(l)).length
  return {
    ok: true, root: root.toString(), run: h.head.run.toString(), steps: h.steps.length, blocks: blocks.size, records: r.records,
    leaves: { opened: r.opened, sealed: r.sealed - gone, withheld: r.withheld - (erased.length - gone), erased: erased.length, reopened },
    wallet: h.wallet, checked: [...checked], left: left.slice(0, log && -1), log // it is the last one
  }
}
