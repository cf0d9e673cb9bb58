import { failure, WritError } from './errors.ts'
import type { Note } from './link.ts'
import type { Session } from './session.ts'
import type { TypedData } from './wallet.ts'
import type { Approval, Effect, From, RunEvent, Totals } from './wire.ts'

/** A call that waits for the wallet. It stays good until it is answered or its time is over, whatever socket is there. */
export interface WaitingApproval extends Omit<Approval, 'summary' | 'typed_data'> {
  /** What the call would do. The wallet signs `text`, the tool and the arguments; docs/protocol.md has the rest. */
  summary: CallSummary
  /** What the wallet signs. */
  typed_data: TypedData
  /** Has the wallet sign exactly this call. */
  approve(): Promise<void>
  /** Refuses it; no signature is needed. */
  refuse(reason?: string): Promise<void>
}

/** What a call that waits would do: one line, and of a payment what moves. */
export interface CallSummary {
  text: string
  tool: string
  args: unknown
  /** The most that may leave, as "5 USDC", and the same in the asset's smallest units. */
  amount?: string
  asset?: string
  units?: string
  decimals?: number
  to?: string
  /** After a simulation: what would leave the account, what would arrive, and whether that was read or computed. */
  debit?: string
  credit?: string
  simulated?: 'read' | 'computed'
  changes?: unknown
  /** Where that is not what the call says: what it says, what would leave beyond it, and how many moves go to others. */
  asked?: string
  over?: string
  others?: number
  rules: string[]
  why: string[]
}

/** One piece of a run's story. */
export type Update =
  | { kind: 'event'; event: RunEvent } // durable: each once, in order
  /**
   * For the eye; the next event replaces it. With `place` nothing is written yet: the run waits in the queue of the model
   * that is to answer, 1 for the next.
   */
  | { kind: 'delta'; text: string; place?: number }
  | { kind: 'approval'; approval: WaitingApproval }
  | { kind: 'receipt'; receipt: string; head: string } // proof that the record stands in the server's log: keep it
  | { kind: 'void' } // the server has another log: forget the events so far, they come anew

/** How a run ended. */
export interface Outcome {
  run: string
  /** `answered`, or why not: `denied`, `waiting`, `failed`, `truncated`, `declined`, `limit`, `timeout`, `cancelled`, `revoked`. */
  reason: string
  /** The failure's code, if one ended it (docs/failures.md). */
  code: string | undefined
  retryable: boolean
  text: string
  totals: Totals | undefined
  /** The newest receipt, if the server has a log. */
  receipt: string | undefined
}

const window = 256 // events that the server may send ahead of what was dealt with
const tries = 8

export interface RunOptions {
  /** Decides on each call that waits, when the run is awaited. Without it such a run ends when the approval's time is over. */
  onApproval?: (a: WaitingApproval) => unknown
  /** Told of text as it is written, when the run is awaited. */
  onText?: (text: string) => void
  /** Cancels the run. */
  signal?: AbortSignal
}

/** A run: await it for its outcome, or iterate over it for its updates, or first the one and then the other. */
export class Run implements AsyncIterable<Update>, PromiseLike<Outcome> {
  /** The run's CID, once the server has taken the request. */
  readonly started: Promise<string>
  #session: Session
  #options: RunOptions
  #id = ''
  #outcome: Promise<Outcome> | undefined
  #done!: (o: Outcome) => void
  #failed!: (e: unknown) => void
  #from: From | undefined
  #text = ''
  #receipt: string | undefined
  #close: Effect | undefined

  constructor(session: Session, started: Promise<string>, options: RunOptions = {}) {
    this.#session = session
    this.started = started
    this.#options = options
    started.catch(() => {}) // who awaits or iterates sees the error there
    const cancel = (): void => { void this.cancel().catch(() => {}) }
    if (options.signal?.aborted) cancel()
    else options.signal?.addEventListener('abort', cancel, { once: true })
  }

  /** Asks the server to end the run. Its record stays. */
  async cancel(): Promise<void> { await this.#session.call('run.cancel', { run: await this.started }) }

  then<A = Outcome, B = never>(
    ok?: ((o: Outcome) => A | PromiseLike<A>) | null, no?: ((e: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    if (!this.#outcome) void this.#drain()
    return this.#outcome!.then(ok, no)
  }

  async #drain(): Promise<void> {
    try {
      for await (const u of this) {
        try {
          if (u.kind === 'approval') await this.#options.onApproval?.(u.approval)
          if (u.kind === 'delta') this.#options.onText?.(u.text)
        } catch (e) {
          this.#failed(e) // before the loop is left, which would say that nobody followed
          throw e
        }
      }
    } catch { /* the outcome has it */ }
  }

  [Symbol.asyncIterator](): AsyncGenerator<Update, void, void> {
    if (this.#outcome) throw failure('conflict', 'A run is followed once; use session.follow.')
    this.#outcome = new Promise((ok, no) => { this.#done = ok; this.#failed = no })
    this.#outcome.catch(() => {}) // who iterates sees the error there
    return this.#follow()
  }

  async *#follow(): AsyncGenerator<Update, void, void> {
    let left = tries
    try {
      this.#id = await this.started
      for (;;) {
        const before = this.#from
        try {
          yield* this.#followOnce()
          const { reason = '', code, retryable = false, totals } = this.#close!
          this.#done({ run: this.#id, reason, code, retryable, text: this.#text, totals, receipt: this.#receipt })
          return
        } catch (e) {
          if (this.#from !== before) left = tries // it went on
          if (!(e instanceof WritError && /disconnected|rate_limited|too_many|overloaded|run_fenced/.test(e.code)) || --left < 0) throw e
          await this.#session.pause(tries - left, e.data.retry_after_ms)
        }
      }
    } catch (e) {
      this.#failed(e)
      throw e
    } finally {
      this.#failed(failure('disconnected', 'Nobody followed the run.')) // nothing, once it is settled
    }
  }

  /** Yields what one socket brings. It returns when the run has closed. */
  async *#followOnce(): AsyncGenerator<Update, void, void> {
    const queue: (Note | WritError)[] = []
    let wake = (): void => {}
    const link = await this.#session.link()
    const params = { run: this.#id, window, ...(this.#from && { from: this.#from }) }
    const { sub, epoch, recovered } = await link.follow(params, (n) => { queue.push(n); wake() })
    try {
      if (!recovered) {
        this.#from = undefined
        yield { kind: 'void' }
      }
      for (let unacked = 0; ;) {
        if (!queue.length) {
          // Only the closing head's receipt may be to come; a server without a log sends none.
          const timer = this.#close && setTimeout(() => wake(), 2000)
          await new Promise<void>((ok) => { wake = ok })
          clearTimeout(timer)
        }
        const note = queue.shift()
        if (this.#close && (!note || note instanceof WritError)) return
        if (note instanceof WritError) throw note
        if (note?.method === 'run.receipt') {
          const { receipt, head } = note.params
          this.#receipt = receipt
          yield { kind: 'receipt', receipt, head }
          if (this.#close) return
        } else if (note?.method === 'run.delta') yield { kind: 'delta', ...note.params }
        else if (note && note.params.seq > (this.#from?.seq ?? -1)) {
          yield* this.#tell(note.params)
          const { seq } = note.params
          this.#from = { epoch, seq }
          if (++unacked >= window / 2) {
            unacked = 0
            link.ack(sub, seq)
          }
        }
      }
    } finally {
      link.unfollow(sub)
    }
  }

  async *#tell(event: RunEvent): AsyncGenerator<Update, void, void> {
    const does = event.does ?? []
    for (const e of does) {
      if (e.kind === 'say') this.#text = e.text ?? ''
      if (e.kind === 'close') this.#close = e
    }
    yield { kind: 'event', event }
    if (!does.some((e) => e.kind === 'seek')) return
    for (const approval of await this.#session.approvals()) {
      const { seq, index } = approval.effect
      if (approval.run === this.#id && seq === event.seq && does[index]?.kind === 'seek') yield { kind: 'approval', approval }
    }
  }
}
