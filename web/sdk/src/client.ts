import { cidBytes } from './bytes.ts'
import { askWallet, failure, WritError } from './errors.ts'
import { Link } from './link.ts'
import { Session, type SavedSession } from './session.ts'
import type { Signer, Wallet } from './wallet.ts'
import { signed, type Agent, type Limits, type Methods } from './wire.ts'

export type State = 'connecting' | 'open' | 'lost' | 'closed'

export interface ConnectOptions {
  /** Told of each change. */
  onState?: (state: State) => void
  /** In the place of the global WebSocket, for Node 20 say. */
  WebSocket?: typeof WebSocket
}

/** What a wallet is asked to allow. What is left out is the agent's default; limits can only be narrower than its. */
export interface SignInRequest {
  agent: string
  /** EIP-155 id; 1 if absent. */
  chain?: number
  tools?: string[]
  limits?: Limits
  /** Seconds; an hour if absent. */
  life?: number
  /** What this client calls itself, for the owner to tell sessions apart. */
  device?: string
  /** Shown before the wallet is asked: the text in which every permission is a sentence. Return false to stop. */
  review?: (message: string) => boolean | Promise<boolean>
}

const tries = 8

/** Connects to a server, given as its http or https address. */
export const connect = async (url: string, options: ConnectOptions = {}): Promise<Client> => {
  const client = new Client(url, options)
  await client.agents() // says at once when nothing is there
  return client
}

const loadSignIn = () => import('./signin.js')

const signerOf = (wallet: Wallet): Promise<Signer> => askWallet(async () => {
  const signer = await (await loadSignIn()).signerOf(wallet)
  if (!signer.address) throw failure('user_rejected', 'No wallet gave an account.')
  return signer
})

/** A connection that mends itself. Nothing that was started is lost with a socket. */
export class Client {
  #url: URL
  #options: ConnectOptions
  #link: Promise<Link> | undefined
  #session: Session | undefined
  #closed = false
  #waking = new Set<() => void>()

  constructor(url: string, options: ConnectOptions) {
    this.#url = new URL('/ws', url.replace(/^http/, 'ws'))
    this.#options = options
  }

  /** The agents that the server runs. */
  async agents(): Promise<Agent[]> { return (await this.callFor(undefined, 'agent.list', {})).agents ?? [] }

  /** Opens a session: the wallet signs one message, and from then on the session key, which never leaves the browser. */
  async signIn(wallet: Wallet, request: SignInRequest): Promise<Session> {
    const signer = await signerOf(wallet)
    const { makeKey, findFault } = await loadSignIn()
    const key = await makeKey()
    const { review, chain = 1, device, ...rest } = request
    const link = await this.#liveLink()
    const { message } = await link.call('session.challenge', { account: signer.address, chain, key: key.did, ...rest })
    const fault = findFault(message, globalThis.location?.host || this.#url.host, signer.address, key)
    if (fault) throw failure('sign_in_refused', fault)
    if (review && !(await review(message))) throw failure('user_rejected', 'The permissions were not agreed to.')
    const signature = await askWallet(() => signer.signMessage(message))
    link.key = key
    link.session = new Uint8Array()
    const info = await link.call('session.open', { message, signature, ...(device && { device }) }, true)
    const session = new Session(this, info, key, signer, message)
    this.#seat(link, session)
    return session
  }

  /** Takes up a session that was saved. The wallet is only needed for approvals, and may be given later. */
  async resume(saved: SavedSession, wallet?: Wallet): Promise<Session> {
    const session = new Session(this, saved.info, saved.key, wallet && (await signerOf(wallet)))
    await this.linkFor(session)
    return session
  }

  /** Ends the connection. Runs and the session go on. */
  close(): void {
    this.#closed = true
    void this.#link?.then((l) => l.close(), () => {})
    this.#waking.forEach((wake) => wake())
    this.#options.onState?.('closed')
  }

  #seat(link: Link, session: Session): void {
    link.key = session.key
    link.session = cidBytes(session.info.session)
    this.#session = session
  }

  /** The socket, made anew if it is gone, with the session on it if there is one. */
  #liveLink(): Promise<Link> {
    const old = this.#link
    const { onState, WebSocket: Socket = WebSocket } = this.#options
    const checkOpen = (): void => { if (this.#closed) throw failure('disconnected', 'The client is closed.') }
    return (this.#link = (async () => {
      checkOpen()
      const was = await old?.catch(() => undefined)
      if (was?.alive) return was
      onState?.(was ? 'lost' : 'connecting')
      const link = await Link.open(this.#url.href, Socket)
      if (this.#closed) link.close()
      checkOpen()
      if (this.#session) await this.#reopen(link, this.#session).catch((e) => { link.close(); throw e })
      onState?.('open')
      return link
    })())
  }

  async #reopen(link: Link, session: Session): Promise<void> {
    this.#seat(link, session)
    await link.call('session.open', { session: session.info.session }, true)
  }

  /** @internal */
  async linkFor(session: Session | undefined): Promise<Link> {
    const link = await this.#liveLink()
    if (session && this.#session !== session) await this.#reopen(link, session)
    return link
  }

  /** @internal Calls a method on a socket that works; a lost one is made anew and the call repeated. */
  async callFor<M extends keyof Methods>(session: Session | undefined, method: M, params: Methods[M]['params']): Promise<Methods[M]['result']> {
    for (let n = 1; ; n++) {
      try {
        return await (await this.linkFor(session)).call(method, params, signed.test(method))
      } catch (e) {
        if (!(e instanceof WritError && /disconnected|rate_limited|too_many|seq_wrong/.test(e.code)) || this.#closed || n >= tries) throw e
        await this.pause(n, e.data.retry_after_ms)
      }
    }
  }

  /** @internal */
  signerFor(session: Session, signer: Signer | undefined): Signer {
    if (!signer) throw failure('signature_missing', 'No wallet to approve with: give one to resume.')
    if (signer.address.toLowerCase() !== session.info.account.toLowerCase())
      throw failure('not_permitted', 'The wallet is not this session\'s.')
    return signer
  }

  /** @internal Waits longer each time, and a random part of it, so that a server is not met by all at once. */
  pause(n: number, atLeast = 0): Promise<void> {
    const most = Math.min(30_000, 60 * 2 ** n)
    return new Promise((ok) => {
      const wake = (): void => { clearTimeout(timer); this.#waking.delete(wake); ok() }
      const timer = setTimeout(wake, Math.max(atLeast, most / 2 + (Math.random() * most) / 2))
      this.#waking.add(wake)
    })
  }
}
