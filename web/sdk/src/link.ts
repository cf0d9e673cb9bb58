import { base64url, fromHex } from './bytes.ts'
import { failure, lost, WritError, type ErrorData } from './errors.ts'
import { signFrame, type SessionKey } from './key.ts'
import type { Hello, Methods, RunDelta, RunEvent, RunReceipt } from './wire.ts'

/** One notification of a run. */
export type Note =
  | { method: 'run.event'; params: RunEvent }
  | { method: 'run.delta'; params: RunDelta }
  | { method: 'run.receipt'; params: RunReceipt }

interface Frame { id: number; result?: unknown; error?: { message: string; data: ErrorData }; method?: string; params?: { sub?: string } }

/** How a socket that has ended says what its session's end was. */
const closeFailure = (code: number): WritError =>
  code === 4401 ? failure('session_expired', 'Your session has ended. Sign in again.')
  : code === 4403 ? failure('session_revoked', 'Your session was revoked. Sign in again.')
  : lost(code !== 1009) // which is a request that is too large

/** One socket. */
export class Link {
  hello!: Hello
  alive = true
  /** Signs requests once it is set. */
  key: SessionKey | undefined
  /** The session's CID in bytes; empty before one is open. */
  session: Uint8Array = new Uint8Array()

  #ws: WebSocket
  #ids = 0
  #seq = 0
  /** Who waits for frames: calls by their ids, followers by their subscriptions. Each is told of the socket's end. */
  #waiting = new Map<unknown, (f: Frame | WritError) => void>()
  #turn: Promise<unknown> = Promise.resolve() // signed requests are sent one after another, in the order of their numbers

  private constructor(ws: WebSocket) { this.#ws = ws }

  /** Opens a socket, and resolves when the server has named the channel. */
  static open(url: string, Socket: typeof WebSocket): Promise<Link> {
    return new Promise((resolve, reject) => {
      const ws = new Socket(url, 'writ.v1.json')
      const link = new Link(ws)
      ws.onmessage = (m) => {
        const f = JSON.parse(m.data as string) as Frame
        if (f.method === 'hello') {
          link.hello = f.params as Hello
          resolve(link)
        } else link.#waiting.get(f.method ? f.params?.sub : f.id)?.(f)
      }
      ws.onclose = (e) => {
        const why = closeFailure(e.code)
        reject(why)
        link.alive = false
        link.#waiting.forEach((tell) => tell(why))
        link.#waiting.clear()
      }
      ws.onerror = () => {} // a close follows, and says more
    })
  }

  close(): void { this.#ws.close(1000) }

  /** Calls a method, signed by the session key if `signed`. `first` sees the result before any frame that follows it. */
  call<M extends keyof Methods>(
    method: M, params: Methods[M]['params'], signed?: boolean, first?: (r: Methods[M]['result']) => void,
  ): Promise<Methods[M]['result']> {
    const body = JSON.stringify(params)
    if (!signed) return this.#send(method, body, '', first)
    const sent = this.#turn.then(async () => {
      const seq = ++this.#seq
      const sig = await signFrame(this.key!, this.session, fromHex(this.hello.channel), seq, method, body)
      return this.#send(method, body, `,"auth":{"seq":${seq},"sig":"${base64url(sig)}"}`, first)
    })
    this.#turn = sent.catch(() => {}) // an answer says whether the number was taken
    return sent
  }

  #send<R>(method: string, body: string, auth: string, first?: (r: R) => void): Promise<R> {
    return new Promise((resolve, reject) => {
      if (!this.alive) throw lost()
      const id = ++this.#ids
      this.#waiting.set(id, (f) => {
        this.#waiting.delete(id)
        if (f instanceof WritError) return reject(f)
        if (f.error) {
          const { message, data } = f.error
          if (data.expected) this.#seq = data.expected - 1
          else if (data.code === 'rate_limited') this.#seq--
          return reject(new WritError(message, data))
        }
        first?.(f.result as R)
        resolve(f.result as R)
      })
      this.#ws.send(`{"jsonrpc":"2.0","id":${id},"method":"${method}","params":${body}${auth}}`)
    })
  }

  /** Asks for a run's events after a place, and hands each to `take`, the socket's end too. */
  follow(params: Methods['run.subscribe']['params'], take: (n: Note | WritError) => void): Promise<Methods['run.subscribe']['result']> {
    return this.call('run.subscribe', params, false, (r) => this.#waiting.set(r.sub, take as (f: Frame | WritError) => void))
  }

  /** Ends a subscription. One whose socket is gone has ended already. */
  unfollow(sub: string): void {
    if (this.#waiting.delete(sub)) this.#tell('run.unsubscribe', { sub })
  }

  ack(sub: string, seq: number): void { this.#tell('run.ack', { sub, seq }) }

  #tell<M extends keyof Methods>(method: M, params: Methods[M]['params']): void { this.call(method, params).catch(() => {}) }
}
