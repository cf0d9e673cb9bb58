import { type Client } from './client.ts'
import { askWallet } from './errors.ts'
import type { SessionKey } from './key.ts'
import type { Link } from './link.ts'
import { Run, type RunOptions, type WaitingApproval } from './run.ts'
import type { Signer, TypedData } from './wallet.ts'
import type { Approval, Attached, Methods, Provenance, Run as RunInfo, Session as SessionInfo } from './wire.ts'

/** What brings a session back after a reload: keep it in IndexedDB, which can hold the key without showing it. */
export interface SavedSession { info: SessionInfo; key: SessionKey }

/** A session: what the wallet's signature allows an agent. It outlives sockets and pages. */
export class Session {
  readonly info: SessionInfo
  /** The text that the wallet signed; absent in a session that was taken up again. */
  readonly message: string | undefined
  readonly key: SessionKey
  #client: Client
  #signer: Signer | undefined

  constructor(client: Client, info: SessionInfo, key: SessionKey, signer?: Signer, message?: string) {
    this.#client = client
    this.info = info
    this.key = key
    this.#signer = signer
    this.message = message
  }

  /** What [Client.resume] takes. */
  save(): SavedSession { return { info: this.info, key: this.key } }

  /**
   * Starts a run: await it for its outcome, or iterate over its updates. The same `key` with the same input gives the
   * same run, so a repeat is safe. `attach` is what [attach] of writ-sdk/attach gave.
   */
  run(input: string, options: RunOptions & { agent?: string; key?: string; thread?: string; attach?: Attached[] } = {}): Run {
    const { agent = this.info.agent, key = crypto.randomUUID(), thread, attach } = options
    const started = this.call('run.start', { agent, input, idempotency_key: key, thread: thread || undefined, attach } as Methods['run.start']['params']) // JSON leaves out what is undefined
    return new Run(this, started.then((s) => s.run), options)
  }

  /** Follows a run that is there already, from its start. */
  follow(run: string, options: RunOptions = {}): Run { return new Run(this, Promise.resolve(run), options) }

  /** Everything of this wallet that waits for an answer: the oldest 1,000, if it is more. */
  async approvals(): Promise<WaitingApproval[]> {
    const { approvals } = await this.call('approval.list', { limit: 1000 })
    return (approvals ?? []).map((a) => {
      const decide = (answer: { approve: boolean; message?: string; signature?: string; reason?: string }) =>
        this.call('approval.decide', { run: a.run, effect: a.effect, idempotency_key: crypto.randomUUID(), ...answer }).then(() => {})
      return {
        ...(a as Approval & Pick<WaitingApproval, 'summary' | 'typed_data'>),
        approve: async () => {
          const signer = this.#client.signerFor(this, this.#signer)
          const signature = await askWallet(() => signer.signTypedData(a.typed_data as TypedData))
          await decide({ approve: true, message: a.message, signature })
        },
        refuse: (reason) => decide({ approve: false, ...(reason && { reason }) }),
      }
    })
  }

  async runs(limit = 100): Promise<RunInfo[]> { return (await this.call('run.list', { limit })).runs ?? [] }

  async sessions(): Promise<SessionInfo[]> { return (await this.call('session.list', {})).sessions ?? [] }

  /** Where a run's record is, and with `keys` the keys of its sealed parts. */
  provenance(run: string, keys = true): Promise<Provenance> { return this.call('provenance.get', { run, keys }) }

  /** Ends this session, here and everywhere, and cancels what it has under way. */
  async revoke(reason?: string): Promise<void> {
    await this.call('session.revoke', { session: this.info.session, ...(reason && { reason }) })
  }

  /** Calls any method of the protocol; those that act are signed. A lost socket is mended and the call repeated. */
  call<M extends keyof Methods>(method: M, params: Methods[M]['params']): Promise<Methods[M]['result']> {
    return this.#client.callFor(this, method, params)
  }

  /** A socket on which this session is open. */
  link(): Promise<Link> { return this.#client.linkFor(this) }

  /** Waits before try number `n`. */
  pause(n: number, atLeast?: number): Promise<void> { return this.#client.pause(n, atLeast) }
}
