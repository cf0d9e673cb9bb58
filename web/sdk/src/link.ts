import { base64url, fromHex } from './bytes.ts'
import { failure, WritError, type ErrorData } from './errors.ts'
import { signFrame, type SessionKey } from './key.ts'
import type { Hello, Methods, RunDelta, RunEvent, RunReceipt } from './wire.ts'

/** One notification of a run. */
export type Note =
  | { method: 'run.event'; params: RunEvent }
  | { method: 'run.delta'; params: RunDelta }
  | { method: 'run.receipt'; params: RunReceipt }

interface Pending { resolve(v: unknown): void; reject(e: unknown): void; first?: ((v: never) => void) | undefined }
interface Frame { id?: number; result?: unknown; error?: { message: string; data: ErrorData }; method?: string; params?: unknown }

/** How a socket that has ended says what its session's end was. */
const closeFailure = (code: number): WritError =>
  code === 4401 ? failure('session_expired', 'Your session has ended. Sign in again.')
  : code === 4403 ? failure('session_revoked', 'Your session was revoked. Sign in again.')
  : failure('disconnected', 'The connection was lost.', code !== 1009) // which is a request that is too large

/** One socket. */
export class Link {
  hello!: Hello
  alive = true
  /** Signs requests once it is set. */
  key: SessionKey | undefined
  /** The session's CID in bytes; empty before one is open. */
  session: Uint8Array = new Uint8Array()
  onRevoked: () => void = () => {}

  #ws: WebSocket
  #ids = 0
  #seq = 0
  #pending = new Map<number, Pending>()
  #feeds = new Map<string, (n: Note | WritError) => void>()
  #turn: Promise<unknown> = Promise.resolve() // signed requests are sent one after another, in the order of their numbers

  private constructor(ws: WebSocket) { this.#ws = ws }

  /** Opens a socket, and resolves when the server has named the channel. */
  static open(url: string, Socket: typeof WebSocket): Promise<Link> {
    return new Promise((resolve, reject) => {
      const link = new Link(new Socket(url, 'writ.v1.json'))
      link.#ws.onmessage = (m) => {
        const f = JSON.parse(m.data as string) as Frame
        if (f.method === 'hello') {
          link.hello = f.params as Hello
          resolve(link)
        } else link.#take(f)
      }
      link.#ws.onclose = (e) => {
        const why = closeFailure(e.code)
        reject(why)
        link.#end(why)
      }
      link.#ws.onerror = () => {} // a close follows, and says more
    })
  }

  close(): void { this.#ws.close(1000) }

  #take(f: Frame): void {
    if (f.method) {
      if (f.method === 'session.revoked') this.onRevoked()
      else this.#feeds.get((f.params as { sub?: string }).sub ?? '')?.(f as Note)
      return
    }
    const p = this.#pending.get(f.id ?? 0)
    if (!p) return
    this.#pending.delete(f.id!)
    if (f.error) {
      const { expected, code } = f.error.data
      if (expected) this.#seq = expected - 1
      else if (code === 'rate_limited') this.#seq--
      p.reject(new WritError(f.error.message, f.error.data))
      return
    }
    p.first?.(f.result as never) // before any frame that follows is looked at
    p.resolve(f.result)
  }

  #end(why: WritError): void {
    this.alive = false
    for (const p of this.#pending.values()) p.reject(why)
    for (const feed of this.#feeds.values()) feed(why)
    this.#pending.clear()
    this.#feeds.clear()
  }

  /** Calls a method, signed by the session key if `signed`. */
  call<M extends keyof Methods>(
    method: M, params: Methods[M]['params'], signed: boolean, first?: (r: Methods[M]['result']) => void,
  ): Promise<Methods[M]['result']> {
    if (!signed) return this.#send(method, JSON.stringify(params), '', first)
    const sent = this.#turn.then(async () => {
      const body = JSON.stringify(params)
      const seq = ++this.#seq
      const sig = await signFrame(this.key!, this.session, fromHex(this.hello.channel), seq, method, body)
      return this.#send(method, body, `,"auth":{"seq":${seq},"sig":"${base64url(sig)}"}`, first)
    })
    this.#turn = sent.catch(() => {}) // an answer says whether the number was taken
    return sent as Promise<Methods[M]['result']>
  }

  #send(method: string, body: string, auth: string, first?: (r: never) => void): Promise<never> {
    return new Promise((resolve, reject) => {
      if (!this.alive) return reject(failure('disconnected', 'The connection was lost.', true))
      const id = ++this.#ids
      this.#pending.set(id, { resolve: resolve as (v: unknown) => void, reject, first })
      this.#ws.send(`{"jsonrpc":"2.0","id":${id},"method":"${method}","params":${body}${auth}}`)
    })
  }

  /** Asks for a run's events after a place, and hands each to `take`, the socket's end too. */
  async follow(params: Methods['run.subscribe']['params'], take: (n: Note | WritError) => void): Promise<Methods['run.subscribe']['result']> {
    return this.call('run.subscribe', params, false, (r) => this.#feeds.set(r.sub, take))
  }

  /** Ends a subscription. One whose socket is gone has ended already. */
  unfollow(sub: string): void {
    if (this.#feeds.delete(sub) && this.alive) void this.call('run.unsubscribe', { sub }, false).catch(() => {})
  }

  ack(sub: string, seq: number): void { void this.call('run.ack', { sub, seq }, false).catch(() => {}) }
}
