// A client of the protocol in docs and openrpc.json, as a dApp would write one by hand: no code of this project is used.
import WebSocket from 'ws'

const { subtle } = globalThis.crypto
const digits = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

export const base58 = (bytes) => {
  let n = BigInt('0x' + Buffer.from(bytes).toString('hex'))
  let s = ''
  for (; n > 0n; n /= 58n) s = digits[Number(n % 58n)] + s
  return s
}

// newKey makes a P-256 session key that no script can read, and its did:key.
export const newKey = async () => {
  const pair = await subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])
  const raw = new Uint8Array(await subtle.exportKey('raw', pair.publicKey)) // 4, x, y
  const did = 'did:key:z' + base58([0x80, 0x24, 2 | (raw[64] & 1), ...raw.slice(1, 33)])
  return { did, sign: async (bytes) => new Uint8Array(await subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, pair.privateKey, bytes)) }
}

// code says in a word how a call ended.
export const code = (p) => p.then(() => 'accepted', (e) => (e.reason ? `${e.code} ${e.reason}` : (e.code ?? e.message)))

const field = (b) => {
  const n = Buffer.alloc(4)
  n.writeUInt32BE(b.length)
  return Buffer.concat([n, b])
}

// A CIDv1 in base32 as its 36 bytes.
const cidBytes = (cid) => {
  let bits = 0, value = 0
  const out = []
  for (const c of cid.slice(1)) {
    value = (value << 5) | 'abcdefghijklmnopqrstuvwxyz234567'.indexOf(c)
    if ((bits += 5) >= 8) out.push((value >> (bits -= 8)) & 255)
    value &= (1 << bits) - 1
  }
  return Buffer.from(out)
}

export class Session {
  #ws; #calls = new Map(); #id = 0; #seq = 0; #channel; #session; #key
  #notes = []; #wake = () => {}; #lost = false

  static async connect(server) {
    const s = new Session()
    s.#ws = new WebSocket(server.replace(/^http/, 'ws') + '/ws', 'writ.v1.json')
    s.#ws.on('message', (data) => s.#read(JSON.parse(data.toString())))
    const lost = new Promise((_, no) => {
      s.#ws.on('error', no)
      s.#ws.on('close', (code) => no(new Error(`the socket was closed: ${code}`)))
    })
    lost.catch((e) => {
      s.#lost = true
      s.#wake()
      s.#calls.forEach(({ no }) => no(e))
    })
    const hello = await Promise.race([s.note((n) => n.method === 'hello'), lost])
    s.#channel = Buffer.from(hello.params.channel, 'hex')
    return s
  }

  close() { this.#ws.close() }

  #read(m) {
    if (m.method) {
      this.#notes.push(m)
      this.#wake()
      return
    }
    const { ok, no } = this.#calls.get(m.id)
    this.#calls.delete(m.id)
    m.error ? no(Object.assign(new Error(m.error.message), { number: m.error.code, ...m.error.data })) : ok(m.result)
  }

  // note waits for a notification and takes it.
  async note(match) {
    for (;;) {
      const i = this.#notes.findIndex(match)
      if (i >= 0) return this.#notes.splice(i, 1)[0]
      if (this.#lost) throw new Error('the socket was closed')
      await new Promise((ok) => { this.#wake = ok })
    }
  }

  call(method, params = {}, auth) {
    const id = ++this.#id
    const body = typeof params === 'string' ? params : JSON.stringify(params)
    this.#ws.send(`{"jsonrpc":"2.0","id":${id},"method":"${method}","params":${body}${auth ? `,"auth":${JSON.stringify(auth)}` : ''}}`)
    return new Promise((ok, no) => this.#calls.set(id, { ok, no }))
  }

  // signed calls a method with the session key's signature over channel, number, method and the exact params.
  async signed(method, params = {}) {
    const body = JSON.stringify(params)
    return this.call(method, body, await this.auth(method, body, ++this.#seq))
  }

  async auth(method, body, seq) {
    const n = Buffer.alloc(8)
    n.writeBigUInt64BE(BigInt(seq))
    const hash = Buffer.from(await subtle.digest('SHA-256', Buffer.from(body)))
    const bytes = Buffer.concat([Buffer.from('writ/frame/1'), this.#session ? cidBytes(this.#session) : Buffer.alloc(0), this.#channel, n, Buffer.from(method), hash].map(field))
    return { seq, sig: Buffer.from(await this.#key.sign(bytes)).toString('base64url') }
  }

  // signIn asks for a message, has the wallet sign it, and opens the session.
  async signIn({ account, chain, agent, key, uri, sign }) {
    this.#key = key
    const c = await this.call('session.challenge', { account, chain, agent, key: key.did, uri })
    const opened = await this.signed('session.open', { message: c.message, signature: await sign(c.message) })
    this.#session = opened.session
    return { ...opened, message: c.message }
  }

  // resume takes up a session of another socket with its key.
  async resume(session, key) {
    this.#key = key
    this.#session = session
    return this.signed('session.open', { session })
  }

  // run starts a run and follows it to its end. approve is asked for each approval.
  async run(agent, input, approve) {
    const { run } = await this.signed('run.start', { agent, input, idempotency_key: crypto.randomUUID() })
    await this.call('run.subscribe', { run })
    const says = []
    for (;;) {
      const { params } = await this.note((n) => n.method === 'run.event' && n.params.run === run)
      for (const e of params.does ?? []) {
        if (e.kind === 'say') says.push(e.text)
        if (e.kind === 'deny') says.push('denied')
        if (e.kind === 'seek') {
          const { approvals } = await this.call('approval.list')
          await approve(approvals.find((a) => a.run === run))
        }
        if (e.kind === 'close') return { run, says, reason: e.reason }
      }
    }
  }

  decide(a, signature) {
    return this.signed('approval.decide', {
      run: a.run, effect: a.effect, approve: true, message: a.message, signature, idempotency_key: crypto.randomUUID(),
    })
  }
}
