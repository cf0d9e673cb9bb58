// A server program that acts for a user within what the user's wallet has signed once. It makes a session key of its own, keeps
// it in a file that only it can read, and signs every request with it; the wallet is not asked again until the session ends,
// except for what must be approved. Node's own library is all it needs: fetch, crypto, files.
//
//   node backend.mjs URL sign-in ACCOUNT CHAIN     writes message.txt, waits for signature.txt
//   node backend.mjs URL ask "TEXT"                exits with 20 if the run waits for the wallet
//   node backend.mjs URL revoke
import { createHash, createPrivateKey, generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const agent = 'treasurer'
const alphabet = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
const base58 = (bytes) => {
  let out = ''
  for (let n = BigInt('0x' + bytes.toString('hex')); n > 0n; n /= 58n) out = alphabet[Number(n % 58n)] + out
  return out
}
const cidBytes = (cid) => { // base32 without padding, behind a "b"
  let bits = ''
  for (const c of cid.slice(1)) bits += 'abcdefghijklmnopqrstuvwxyz234567'.indexOf(c).toString(2).padStart(5, '0')
  return Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)))
}
const save = (name, text) => { // whole or not at all, and for this user alone
  writeFileSync(`${name}.half`, text, { mode: 0o600 })
  renameSync(`${name}.half`, name)
}

class WritError extends Error {
  constructor({ message, data }) {
    super(message)
    Object.assign(this, data) // code, retryable
  }
}

// One channel over plain HTTP. Requests are signed one after another, as docs/protocol.md says.
class Backend {
  seq = 0
  session = Buffer.alloc(0)
  constructor(url, key) { Object.assign(this, { url, key }) }

  get did() { return 'did:key:z' + base58(Buffer.concat([Buffer.from('ed01', 'hex'), this.key.publicKey])) }

  async post(method, params, { signed = true, accept = 'application/json' } = {}) {
    const body = JSON.stringify(params)
    let auth = ''
    if (signed) {
      const seq = Buffer.alloc(8)
      seq.writeBigUInt64BE(BigInt(++this.seq))
      const fields = [Buffer.from('writ/frame/1'), this.session, Buffer.from(this.channel, 'hex'), seq, Buffer.from(method),
        createHash('sha256').update(body).digest()]
      const bytes = Buffer.concat(fields.flatMap((f) => { const n = Buffer.alloc(4); n.writeUInt32BE(f.length); return [n, f] }))
      auth = `,"auth":{"seq":${this.seq},"sig":"${sign(null, bytes, this.key.privateKey).toString('base64url')}"}`
    }
    return fetch(`${this.url}/rpc`, {
      method: 'POST', body: `{"jsonrpc":"2.0","id":1,"method":"${method}","params":${body}${auth}}`,
      headers: { 'content-type': 'application/json', accept, ...(this.channel && { 'writ-channel': this.channel }) },
    })
  }

  async call(method, params = {}, options = {}) {
    const { result, error } = await (await this.post(method, params, options)).json()
    if (error) throw new WritError(error)
    return result
  }

  async open() { this.channel = (await this.call('hello', {}, { signed: false })).channel }

  async signIn(account, chain) {
    const usdc = [{ asset: 'USDC', decimals: 6, units: '3000000' }]
    const limits = { max_calls: 10, max_total: usdc, max_per_call: usdc } // narrower than the agent's own
    const { message } = await this.call('session.challenge', { account, chain, key: this.did, agent, limits }, { signed: false })
    save('message.txt', message)
    for (let n = 0; !existsSync('signature.txt'); n++) { // the text is good for five minutes
      if (n > 1200) throw new Error('nobody has signed message.txt')
      await sleep(250)
    }
    const signature = readFileSync('signature.txt', 'utf8').trim()
    return (await this.call('session.open', { message, signature })).session
  }

  async resume(session) {
    this.session = cidBytes(session)
    await this.call('session.open', { session })
  }

  // Every event of a run until it closes, or until it waits for the wallet.
  async *events(run) {
    const response = await this.post('run.subscribe', { run }, { accept: 'text/event-stream' })
    let rest = ''
    for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
      const blocks = (rest + part).split('\n\n')
      rest = blocks.pop()
      for (const block of blocks) {
        const data = block.split('\n').filter((l) => l.startsWith('data:')).map((l) => l.slice(5)).join('\n')
        const { method, params, error } = JSON.parse(data || '{}')
        if (error) throw new WritError(error)
        if (method === 'run.event') yield params
      }
    }
  }

  async ask(input) {
    const { run } = await this.call('run.start', { agent, input, idempotency_key: randomUUID() })
    let said = ''
    for await (const event of this.events(run)) {
      for (const effect of event.does ?? []) {
        if (effect.kind === 'say') said = effect.text
        if (effect.kind === 'seek') return { run, reason: 'waiting', said: effect.summary.text }
        if (effect.kind === 'close') return { run, reason: effect.reason, said }
      }
    }
    throw new Error('the events ended before the run') // post again with Last-Event-ID
  }
}

const [url, act, ...rest] = process.argv.slice(2)
try {
  if (act === 'sign-in') {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    const backend = new Backend(url, { privateKey, publicKey: Buffer.from(publicKey.export({ format: 'jwk' }).x, 'base64url') })
    await backend.open()
    const session = await backend.signIn(rest[0], Number(rest[1]))
    save('session.json', JSON.stringify({ session, key: { ...privateKey.export({ format: 'jwk' }) } }))
    console.log(`the session ${session} is open; its key is in session.json`)
  } else {
    const { session, key } = JSON.parse(readFileSync('session.json', 'utf8')) // as after a restart
    const privateKey = createPrivateKey({ key, format: 'jwk' })
    const backend = new Backend(url, { privateKey, publicKey: Buffer.from(key.x, 'base64url') })
    await backend.open()
    await backend.resume(session)
    if (act === 'revoke') {
      await backend.call('session.revoke', { session, reason: 'the work is done' })
      console.log('revoked')
    } else {
      const { run, reason, said } = await backend.ask(rest.join(' '))
      console.log(`${reason}: ${said} (${run})`)
      process.exitCode = reason === 'answered' ? 0 : reason === 'waiting' ? 20 : 1
    }
  }
} catch (e) {
  console.error(`${e.code ?? 'error'}: ${e.message}`)
  process.exitCode = 1
}
