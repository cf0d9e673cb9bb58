// What runs ask the user's own wallet to send, and what it has sent. A call is sent once: what was sent is kept in the browser
// for longer than any call waits, so that neither a page that is loaded again nor a list that lacks the call for a while has
// it paid a second time.
import { signal } from '@preact/signals'
import type { WritError, wire } from '../../sdk/src/index.ts'
import type { Sent } from '../../sdk/src/pay.ts'
import type { Provider } from '../../sdk/src/wallet.ts'
import { attempt, said, session, signer } from './store.ts'

export type Payment = wire.WalletCall

export const payments = signal<Payment[]>([])

export const keyOf = (c: Payment): string => `sent:${c.run}:${c.effect.seq}.${c.effect.index}`

/** How a call was sent from this browser, and why the server did not take its hash, if it did not. */
export interface Told {
  hash?: string
  /** What the wallet calls the batch (EIP-5792) whose transaction it has not told yet. */
  batch?: string
  refused?: string
  /** Whether the server has said that this transaction is not the call's: only then another one may be sent. */
  other?: boolean
  at?: number // when it was kept, in ms
}

export const told = signal<Record<string, Told>>({})

/** How a call was sent, for all that this browser or else the server knows. */
export const toldOf = (c: Payment): Told | undefined => told.value[keyOf(c)] ?? (c.sent ? { hash: c.sent } : undefined)

const keptFor = 24 * 3600_000 // a call waits for 15 minutes, and anew if the server stops meanwhile

const dropOld = (): void => {
  for (const key of Object.keys(localStorage)) {
    const at = key.startsWith('sent:') && kept(key)?.at
    if (at && at < Date.now() - keptFor) localStorage.removeItem(key)
  }
}

const keep = (key: string, t: Told | undefined): void => {
  const { [key]: _, ...others } = told.value
  told.value = t ? { ...others, [key]: t } : others
  try {
    dropOld()
    if (t) localStorage.setItem(key, JSON.stringify({ ...t, at: Date.now() }))
    else localStorage.removeItem(key)
  } catch { /* a private window: this page knows it, another does not */ }
}

const kept = (key: string): Told | undefined => {
  try { return (JSON.parse(localStorage.getItem(key) ?? 'null') as Told | null) ?? undefined } catch { return undefined }
}

/**
 * Of refusals only the server's word that this very transaction has not paid the call lets another one be sent; all else might
 * pay twice.
 */
const tellRefusal = (e: WritError): Told => ({ refused: e.message, ...(e.code === 'approval_wrong' && e.data.reason !== 'wallet.otherwise' && { other: true }) })

let loading = false

/** Reads what waits. It says nothing of an error: it is asked again every second. */
export const loadPayments = async (): Promise<void> => {
  const s = session.value
  if (!s || loading) return
  loading = true
  try {
    const found = (await s.call('wallet.list', {})).calls ?? []
    if (s !== session.value) return
    const more = found.map(keyOf).filter((k) => !told.value[k]).flatMap((k) => { const t = kept(k); return t ? [[k, t] as const] : [] })
    if (more.length) told.value = { ...told.value, ...Object.fromEntries(more) }
    if (JSON.stringify(found) !== JSON.stringify(payments.value)) payments.value = found
  } catch { /* the connection is told of elsewhere */ } finally {
    loading = false
  }
}

const take = (c: Payment, sent: Sent | undefined): void => {
  keep(keyOf(c), sent && { hash: sent.hash, ...(sent.refused !== undefined && tellRefusal(sent.refused as WritError)) })
  said.value = sent ? 'Sent by your wallet.' : 'Your wallet has not sent it.'
}

/**
 * Has the wallet send one call, or asks it what became of the batch that it has of it. Hash and batch are kept before anything
 * else is done: what comes after may fail, the payment does not.
 */
export const payCall = (c: Payment): Promise<true | undefined> => attempt(async () => {
  const wallet = (await signer()) as Provider
  const noting: Provider = {
    request: async (r) => {
      const answer = await wallet.request(r)
      if (r.method === 'eth_sendTransaction') keep(keyOf(c), { hash: String(answer) })
      return answer
    },
  }
  const { pay, settle } = await import('../../sdk/src/pay.ts')
  const batch = told.value[keyOf(c)]?.batch
  const sent = batch ? await settle(session.value!, wallet, [c], batch) : await pay(session.value!, noting, [c], (id) => keep(keyOf(c), { batch: id }))
  take(c, sent[0])
  await loadPayments()
  return true as const
})

/** The user says that what was sent does not count for this call: it may be sent again. */
export const forget = (c: Payment): void => keep(keyOf(c), undefined)
