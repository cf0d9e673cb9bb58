// What the page knows, as signals, and what can be done. Components only show and call.
import { computed, signal } from '@preact/signals'
import { connect, WritError, type Client, type Run, type Session, type State, type Wallet, type WaitingApproval, type wire } from '../../sdk/src/index.ts'
import type { Provider } from '../../sdk/src/wallet.ts'
import { forgetSession, keepSession, keptSession } from './keep.ts'
import { loadPayments, payments, told } from './payments.ts'
import type { Story } from './story.ts'
import { wallets } from './wallets.ts'

export interface Turn {
  id: number
  story: Story
  /** Text as it is written; the event that follows replaces it. */
  draft: string
  /** In the queue of the model that is to answer, while it waits there. */
  place?: number | undefined
  run: string
  error: WritError | undefined
  approvals: WaitingApproval[]
  handle: Run | undefined
}

export const connection = signal<State>('connecting')
export const agents = signal<wire.Agent[]>([])
export const session = signal<Session | undefined>(undefined)
export const turns = signal<Turn[]>([])
export const pending = signal<WaitingApproval[]>([])
/** A file that the next request brings with it, as the server has it and as the browser has. */
export interface Held { named: wire.Attached; file: File }
export const bag = signal<Held[]>([])
/** Runs that ask their user something. */
export const asking = signal<wire.Run[]>([])
export const problem = signal<WritError | undefined>(undefined)
export const said = signal('') // for screen readers: starts and ends, never tokens
export const page = signal(location.hash.slice(1) || 'talk')
export const now = signal(Date.now())
export const live = computed(() => turns.value.some((t) => !t.story.reason && !t.error))

let client: Client | undefined
let wallet: Wallet | undefined

export const asError = (e: unknown): WritError =>
  e instanceof WritError ? e : new WritError(e instanceof Error ? e.message : String(e), { code: 'internal', retryable: false })

/** Runs an act, and shows its error in one sentence. */
export const attempt = async <T>(act: () => Promise<T>): Promise<T | undefined> => {
  problem.value = undefined
  try {
    return await act()
  } catch (e) {
    problem.value = asError(e)
    if (['session_expired', 'session_revoked'].includes(problem.value.code)) await endSession()
    return undefined
  }
}

const endSession = async (): Promise<void> => {
  session.value = undefined
  pending.value = asking.value = []
  payments.value = []
  told.value = {} // what was sent stays in localStorage
  await forgetSession()
}

export const start = async (): Promise<void> => {
  window.addEventListener('hashchange', () => { page.value = location.hash.slice(1) || 'talk' })
  setInterval(() => {
    now.value = Date.now()
    if (session.value && (payments.value.length || turns.value.some((t) => t.story.pays && !t.story.reason))) void loadPayments()
  }, 1000)
  await attempt(async () => {
    client = await connect(location.origin, { onState: (s) => { connection.value = s } })
    agents.value = await client.agents()
    const kept = await keptSession()
    if (!kept || kept.info.expires < Date.now()) return
    try {
      session.value = await client.resume(kept)
      await loadApprovals()
      await loadPayments()
    } catch (e) {
      if (['session_expired', 'session_revoked', 'not_found', 'session_required'].includes(asError(e).code)) await forgetSession()
      else throw e
    }
  })
}

export interface Wish { agent: string; chain: number; limits: wire.Limits; life: number }

/** What this browser calls itself, for the owner to tell sessions apart. */
const deviceName = (): string => {
  const a = navigator.userAgent
  const find = (names: string[]): string => names.find((n) => a.includes(n)) ?? ''
  const made = { Edg: 'Edge', CriOS: 'Chrome', FxiOS: 'Firefox' }[find(['Edg', 'CriOS', 'FxiOS'])] ?? find(['Firefox', 'Chrome', 'Safari'])
  const on = find(['Android', 'iPhone', 'iPad', 'Windows', 'Mac OS', 'CrOS', 'Linux'])
  return `${made || 'A browser'}${on && ` on ${on}`}`
}

/** Has the wallet sign, after the text was shown. */
export const signIn = (w: Wallet, wish: Wish): Promise<void | undefined> => attempt(async () => {
  wallet = w
  session.value = await client!.signIn(w, { ...wish, device: deviceName() })
  turns.value = []
  bag.value = []
  await keepSession(session.value.save())
  said.value = 'Signed in.'
  location.hash = 'talk'
})

/** The text that the wallet would be asked to sign, for reading; another is made when it signs. */
export const previewText = async (account: string, wish: Wish): Promise<string> => {
  let shown = ''
  const nobody = { address: account, sign: () => Promise.reject(new Error('for reading only')) }
  await client!.signIn(nobody, { ...wish, review: (text) => { shown = text; return false } }).catch((e) => {
    if (!shown) throw e
  })
  return shown
}

export const runInfo = (run: string): Promise<wire.Run | undefined> => attempt(() => session.value!.call('run.get', { run }))

/** What waits for the user: approvals, and questions of agents. */
export const loadApprovals = (): Promise<void | undefined> => attempt(async () => {
  const s = session.value
  if (!s) return
  pending.value = await s.approvals()
  asking.value = (await s.call('run.list', { outcome: 'asks', limit: 50 })).runs ?? []
})

/** The wallet of this session. After a reload it has to be chosen again: the one that has the account, if one says so unasked. */
export const signer = async (): Promise<Wallet> => {
  if (wallet) return wallet
  const found = wallets.value
  if (found.length === 0) throw new WritError('No wallet is there to sign with. Open it, and load this page again.', { code: 'signature_missing', retryable: false })
  const account = session.value!.info.account.toLowerCase()
  const has = await Promise.all(found.map(({ provider }) => (provider as Provider).request({ method: 'eth_accounts' })
    .then((list) => (list as string[]).some((a) => account.endsWith(a.toLowerCase())), () => false)))
  const mine = found[Math.max(0, has.indexOf(true))]!.provider
  session.value = await client!.resume(session.value!.save(), mine)
  return (wallet = mine)
}

/** The wallet signs exactly this call. */
export const approve = (a: WaitingApproval): Promise<true | undefined> => attempt(async () => {
  if (!wallet) {
    await signer()
    pending.value = await session.value!.approvals() // these have the wallet
    a = pending.value.find((b) => b.step === a.step && b.effect.index === a.effect.index) ?? a
  }
  await a.approve()
  await loadApprovals()
  return true as const
})

export const refuse = (a: WaitingApproval, reason: string): Promise<true | undefined> => attempt(async () => {
  await a.refuse(reason)
  await loadApprovals()
  return true as const
})

export const listSessions = (): Promise<wire.Session[] | undefined> => attempt(async () => session.value?.sessions() ?? [])

export const revoke = (id: string): Promise<void | undefined> => attempt(async () => {
  const s = session.value!
  try {
    await s.call('session.revoke', { session: id, reason: 'revoked in the console' })
  } catch (e) {
    if (!(id === s.info.session && ['session_revoked', 'disconnected'].includes(asError(e).code))) throw e
  }
  if (id === s.info.session) await endSession()
})

/** A run's record, its keys and the newest receipt, as three files of one click. */
export const downloadRun = (cid: string): Promise<void | undefined> => attempt(async () => {
  const p = await session.value!.provenance(cid)
  const car = await fetch(p.car)
  if (!car.ok) throw new WritError(`The record could not be fetched: ${car.status}.`, { code: 'not_found', retryable: true })
  const short = cid.slice(-8)
  save(`run-${short}.car`, await car.blob())
  if (p.keys) save(`run-${short}.keys.json`, new Blob([keyFile(p.keys)], { type: 'application/json' }))
  if (p.receipt) save(`run-${short}.receipt.txt`, new Blob([p.receipt], { type: 'text/plain' }))
})

/** A key file as `writ export` writes it: one spelling, sorted by CID. */
const keyFile = (keys: Record<string, string>): string =>
  JSON.stringify({ schema: 'writ/keys/1', keys: Object.fromEntries(Object.entries(keys).sort(([a], [b]) => (a < b ? -1 : 1))) }) + '\n'

const save = (name: string, b: Blob): void => {
  const a = document.createElement('a')
  a.href = URL.createObjectURL(b)
  a.download = name
  a.click()
  setTimeout(() => URL.revokeObjectURL(a.href), 10_000)
}
