// checkLog checks that a run's head stands in a transparency log, and that receipts that clients hold are of the same history:
// docs/log.md, "Proofs, receipts, and what a verifier checks". It knows one log by its key. Witnesses, epochs, anchors, and
// whether two checkpoints are of one log, are left to writ-audit.
import { ed25519Verify, same, sha256, want } from './signed.mjs'

const utf8 = new TextEncoder()
const join = (...parts) => Uint8Array.from(parts.flatMap(p => [...p]))
const maxProof = 64 << 10
const maxHashes = 63

// base64Of reads strict base64: undefined if writing it again gives another text.
function base64Of (text, size) {
  let plain
  try { plain = atob(text) } catch { return }
  return btoa(plain) === text && plain.length === (size ?? plain.length) ? Uint8Array.from(plain, c => c.charCodeAt(0)) : undefined
}

const isNumber = text => /^(0|[1-9][0-9]{0,18})$/.test(text) && BigInt(text) < 1n << 63n

// readKey reads a verifier key of a log, name+hash+key with an Ed25519 key: c2sp.org/signed-note, "Verifier keys".
export function readKey (vkey) {
  const [, name, hash, text] = /^([^+\s]+)\+([0-9a-f]{8})\+(.+)$/.exec(vkey) ?? []
  const key = base64Of(text ?? '', 33)
  want(key && key[0] === 1, 'log.key', 'a log\'s key is name+hash+key, as the server says it at /log/')
  const id = sha256(utf8.encode(name + '\n'), key).subarray(0, 4)
  want(Array.from(id, x => x.toString(16).padStart(2, '0')).join('') === hash, 'log.key', 'the hash in the log\'s key is another key\'s; copy it again')
  return { name, id, key: key.subarray(1) }
}

// cut splits at the first mark.
function cut (text, mark) {
  const i = text.indexOf(mark)
  return i < 0 ? [text] : [text.slice(0, i), text.slice(i + mark.length)]
}

// readProof reads a tlog-proof, in its one spelling: c2sp.org/tlog-proof.
export function readProof (text) {
  const head = 'c2sp.org/tlog-proof@v1\n'
  want(text.startsWith(head) && utf8.encode(text).length <= maxProof, 'log.form', 'not a proof of logging')
  const [lines, checkpoint] = cut(text.slice(head.length), '\n\n')
  want(checkpoint, 'log.form', 'a proof without a checkpoint')
  const rest = lines.split('\n')
  const extra = rest[0].startsWith('extra ') ? base64Of(rest.shift().slice(6)) : []
  const [, index] = cut(rest.shift() ?? '', 'index ')
  const hashes = rest.map(l => base64Of(l, 32))
  want(extra && lines.startsWith(extra.length ? 'extra ' : 'index ') && isNumber(index ?? '') && hashes.length <= maxHashes && !hashes.includes(undefined),
    'log.form', 'a proof whose lines are not extra, index and hashes')
  return { extra, index: BigInt(index), hashes, checkpoint }
}

// readCheckpoint reads a checkpoint that the log's key signed: c2sp.org/tlog-checkpoint and c2sp.org/signed-note.
async function readCheckpoint (text, log) {
  const [origin, size, root] = cut(text, '\n\n')[0].split('\n')
  const hash = base64Of(root ?? '', 32)
  want(text.includes('\n\n') && text.endsWith('\n') && origin && isNumber(size ?? '') && hash, 'log.form', 'not a checkpoint')
  want(origin === log.name, 'log.origin', `a checkpoint of the log ${JSON.stringify(origin.slice(0, 100))}, which is not one that counts`)
  const end = text.lastIndexOf('\n\n') + 1
  const prefix = `\u2014 ${log.name} `
  const sigs = text.slice(end + 1).split('\n').filter(l => l.startsWith(prefix)).map(l => base64Of(l.slice(prefix.length), 68))
  const sig = sigs.find(s => s && same(s.subarray(0, 4), log.id))
  want(sig && await ed25519Verify(log.key, utf8.encode(text.slice(0, end)), sig.subarray(4)), 'log.key', 'the checkpoint is not signed by the log\'s key')
  return { size: BigInt(size), root: hash }
}

// entryOf makes the entry that stands for a head: its run's tag, its number, and its digest under a pad.
function entryOf (head, run, seq) {
  const number = new Uint8Array(8)
  new DataView(number.buffer).setBigUint64(0, BigInt(seq))
  const salt = sha256(utf8.encode('writ/log/salt/1\n'), run)
  const pad = sha256(utf8.encode('writ/log/pad/1\n'), salt, number)
  return join(sha256(utf8.encode('writ/log/tag/1\n'), salt), number, pad.map((x, i) => x ^ head[i]))
}

// leadsTo says whether the hashes lead from an entry at an index to the root of so many entries: RFC 9162, section 2.1.3.2.
function leadsTo ({ index, hashes }, entry, { size, root }) {
  if (index >= size) return false
  let at = sha256([0], entry)
  let last = size - 1n
  for (const h of hashes) {
    if (last === 0n) return false
    if (index & 1n || index === last) {
      at = sha256([1], h, at)
      for (; !(index & 1n) && index > 0n; index >>= 1n) last >>= 1n
    } else at = sha256([1], at, h)
    index >>= 1n
    last >>= 1n
  }
  return last === 0n && same(at, root)
}

// checkLog takes the log's verifier key; the block of the proof, if the file begins with a receipt; the receipts that clients
// hold, each a tlog-proof whose extra line is a head's block; the history's head and its CID, and the CIDs of its steps. openHead
// reads the block of a head and checks the operator's signature. It returns where the history's head stands.
export async function checkLog (logKey, proof, receipts, { head: { run: { bytes: run }, seq }, steps }, cid, openHead) {
  const log = readKey(logKey)
  const head = cid.bytes.slice(-32) // its digest
  const find = async (p, head, seq) => {
    const checkpoint = await readCheckpoint(p.checkpoint, log)
    want(leadsTo(p, entryOf(head, run, seq), checkpoint), 'log.proof', `the proof does not lead from this head to the checkpoint of size ${checkpoint.size}`)
    return { index: Number(p.index), size: Number(checkpoint.size) }
  }
  let stands = proof && await find(readProof(new TextDecoder().decode(proof)), head, seq)
  for (const text of receipts) {
    let held
    try {
      const p = readProof(text)
      held = await openHead(p.extra)
      want(same(held.run.bytes, run), 'log.receipt', 'it is for another run')
      const at = await find(p, sha256(p.extra), held.seq)
      if (same(sha256(p.extra), head)) stands ??= at
    } catch (e) { want(false, 'log.receipt', `a receipt does not hold: ${e.message}`) }
    want(held.seq < steps.length, 'log.cut', `a receipt is for step ${held.seq}, and the history ends before it`)
    want(same(steps[held.seq].bytes, held.step.bytes), 'log.branch', `a receipt is for another step ${held.seq} of this run`)
  }
  return stands
}
