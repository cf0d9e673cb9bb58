/** Hooks for React 18 and 19: a connection, a session, a run as it goes, and what waits for the wallet. */
import { useCallback, useEffect, useRef, useState } from 'react'
import type { Client, ConnectOptions, SignInRequest, State } from './client.ts'
import type { Outcome, Run, RunOptions, WaitingApproval } from './run.ts'
import type { SavedSession, Session } from './session.ts'
import type { Wallet } from './wallet.ts'
import type { RunEvent } from './wire.ts'
import { connect } from './index.js'

/** A connection to a server, which mends itself. It is closed when the component goes. */
export const useWrit = (url: string, options: Pick<ConnectOptions, 'WebSocket'> = {}): { client: Client | undefined; state: State; error: unknown } => {
  const [client, setClient] = useState<Client>()
  const [state, setState] = useState<State>('connecting')
  const [error, setError] = useState<unknown>()
  const Socket = options.WebSocket
  useEffect(() => {
    let gone = false
    let open: Client | undefined
    const tell = (s: State): void => { if (!gone) setState(s) }
    connect(url, { onState: tell, ...(Socket && { WebSocket: Socket }) }).then((c) => {
      open = c
      if (gone) c.close()
      else setClient(c)
    }, (e) => { if (!gone) setError(e) })
    return () => {
      gone = true
      open?.close()
      setClient(undefined)
    }
  }, [url, Socket])
  return { client, state, error }
}

/** A session of a client. `signIn` and `resume` open one; what they throw is in `error`. */
export const useSession = (client: Client | undefined) => {
  const [session, setSession] = useState<Session>()
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>()
  useEffect(() => setSession(undefined), [client])
  const attempt = useCallback(async (act: (c: Client) => Promise<Session | undefined>): Promise<Session | undefined> => {
    if (!client) return undefined
    setBusy(true)
    setError(undefined)
    try {
      const s = await act(client)
      setSession(s)
      return s
    } catch (e) {
      setError(e)
      return undefined
    } finally {
      setBusy(false)
    }
  }, [client])
  return {
    session, busy, error,
    signIn: useCallback((wallet: Wallet, request: SignInRequest) => attempt((c) => c.signIn(wallet, request)), [attempt]),
    resume: useCallback((saved: SavedSession, wallet?: Wallet) => attempt((c) => c.resume(saved, wallet)), [attempt]),
    revoke: useCallback((reason?: string) => attempt(async () => { await session?.revoke(reason); return undefined }), [attempt, session]),
  }
}

/**
 * A run as it goes. `text` is a draft until an event says what stands; `approvals` are those that still wait; `place` is
 * its place in the queue of the model that is to answer, 1 for the next, while it waits there.
 */
export interface RunView {
  run: string | undefined
  text: string
  place: number | undefined
  events: RunEvent[]
  approvals: WaitingApproval[]
  outcome: Outcome | undefined
  error: unknown
  busy: boolean
}

const nothing = { text: '', events: [], approvals: [], busy: false } as unknown as RunView // all else is undefined

/** Starts runs, or follows one, and tells the newest as it goes. It draws once a frame's worth of events, not at each. */
export const useRun = (session: Session | undefined) => {
  const [view, setView] = useState(nothing)
  const now = useRef<Run>(undefined)
  useEffect(() => () => { now.current = undefined }, [session])
  const tell = useCallback(async (run: Run): Promise<Outcome | undefined> => {
    now.current = run
    const state: RunView = { ...nothing, busy: true }
    let soon = false
    let draft = ''
    let said = ''
    const show = (): void => {
      soon = false
      if (now.current === run) setView({ ...state, events: state.events.slice(), approvals: state.approvals.slice() })
    }
    const later = (): void => { if (!soon) { soon = true; setTimeout(show, 16) } }
    show()
    try {
      state.run = await run.started
      for await (const u of run) {
        if (u.kind === 'delta') {
          draft += u.text
          state.place = u.place
        } else if (u.kind === 'approval') state.approvals.push(u.approval)
        else if (u.kind === 'void') {
          Object.assign(state, { events: [], approvals: [], place: undefined })
          draft = said = ''
        } else if (u.kind === 'event') {
          const { event, does } = u.event
          draft = ''
          state.place = undefined
          for (const e of does) if (e.kind === 'say') said = e.text ?? ''
          if (event.of) state.approvals = state.approvals.filter((a) => a.effect.seq !== event.of!.seq || a.effect.index !== event.of!.index)
          state.events.push(u.event)
        }
        if (now.current !== run) return undefined // another is told
        state.text = draft || said
        later()
      }
      state.outcome = await run
    } catch (e) {
      state.error = e
    }
    Object.assign(state, { busy: false, approvals: [] })
    show()
    return state.outcome
  }, [])
  return {
    ...view,
    ask: useCallback((input: string, options?: RunOptions & { agent?: string; thread?: string }) => session && tell(session.run(input, options)), [session, tell]),
    follow: useCallback((run: string) => session && tell(session.follow(run)), [session, tell]),
    stop: useCallback(() => now.current?.cancel(), []),
  }
}

/** Everything of the wallet that waits for an answer. `reload` asks again, as after an answer elsewhere. */
export const useApprovals = (session: Session | undefined) => {
  const [approvals, setApprovals] = useState<WaitingApproval[]>([])
  const [error, setError] = useState<unknown>()
  const reload = useCallback(async () => {
    try {
      setApprovals(session ? await session.approvals() : [])
      setError(undefined)
    } catch (e) {
      setError(e)
    }
  }, [session])
  useEffect(() => { void reload() }, [reload])
  return { approvals, error, reload }
}
