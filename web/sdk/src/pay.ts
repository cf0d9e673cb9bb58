/** The user's own wallet sends what runs ask it for: by wallet_sendCalls (EIP-5792) where that is safe, else one by one. */
import type { Session } from './session.ts'
import type { Provider } from './wallet.ts'
import type { WalletCall } from './wire.ts'
import { askWallet, failure } from './index.js' // the same class of error, which a page tests for

/**
 * What the wallet has sent for a call. The server believes the chain, and takes the hash as a hint. refused is its answer
 * where it does not take this hash for this call: show it, since the call may still have to be paid.
 */
export interface Sent { call: WalletCall; hash: string; refused?: unknown }

interface Status { status: number | string; receipts?: ({ transactionHash?: string } | null)[] | null | undefined }

const hex = (n: number): string => '0x' + n.toString(16)

/**
 * The transactions that the wallet is asked to send, of all its runs. One that is not there any more may come again: the
 * server leaves out what it cannot ask a chain about just now.
 */
export const payments = async (session: Session): Promise<WalletCall[]> => (await session.call('wallet.list', {})).calls ?? []

/**
 * Has the wallet send calls, all of one chain and account, and tells the server. The wallet shows each, or all of them at
 * once where it sends them as a batch. If it refuses, nothing more is sent, and what had been is `sent` of the error. A call
 * whose `sent` the server knows is told again, and not sent again; else a second time is a second payment. onBatch is told
 * the id of each batch, which settle takes if this page does not live on.
 */
export const pay = (
  session: Session, wallet: Provider, calls: WalletCall[], onBatch?: (id: string, calls: WalletCall[]) => void,
): Promise<Sent[]> => collect(async (done) => {
  for (const c of calls) if (c.sent) done.push(await tell(session, c, c.sent))
  calls = calls.filter((c) => !c.sent)
  const [first] = calls
  if (!first) return
  const { chain, from } = first
  if (calls.some((c) => c.chain !== chain || c.from !== from)) throw failure('invalid_params', 'Pay calls of one chain and account at a time.')
  const ask = await choose(wallet, from, chain)
  const atomic = calls.length > 1 || first.parts ? await atomicOf(wallet, from, chain) : undefined
  const together = atomic === 'unsupported' && calls.length > 1
  for (const of of together ? [calls] : calls.map((c) => [c])) {
    const call = of[0]!
    const parts = together ? calls.map(partOf) : atomic === 'supported' && call.parts
    if (parts) {
      const sent = (await ask('wallet_sendCalls', {
        version: '2.0.0', from, chainId: hex(chain), atomicRequired: !together, calls: parts,
      })) as { id: string } | string
      const id = typeof sent === 'string' ? sent : sent.id
      onBatch?.(id, of)
      await settleInto(done, session, ask, of, id)
    } else done.push(await tell(session, call, (await ask('eth_sendTransaction', { from, ...partOf(call), type: '0x2' })) as string))
  }
})

/**
 * Waits until the wallet says what became of a batch that pay had it send, and tells the server. What is missing was not
 * sent; if the wallet does not say so of what it tells no transaction of, this throws `outcome_unknown`.
 */
export const settle = (session: Session, wallet: Provider, calls: WalletCall[], id: string): Promise<Sent[]> =>
  collect((done) => settleInto(done, session, askOf(wallet), calls, id))

/** What act has done, be it as a part of its error. */
const collect = async (act: (done: Sent[]) => Promise<void>): Promise<Sent[]> => {
  const sent: Sent[] = []
  try {
    await act(sent)
  } catch (e) {
    throw Object.assign(Object(e), { sent })
  }
  return sent
}

const settleInto = async (done: Sent[], session: Session, ask: Ask, calls: WalletCall[], id: string): Promise<void> => {
  const { status, receipts } = await statusOf(session, ask, id)
  let silent = false
  for (const [i, call] of calls.entries()) {
    // Of a batch that is done each call was sent, be it with others in one transaction, against the wallet's own word.
    const hash = receipts?.[status < 300 && !receipts[i] ? 0 : i]?.transactionHash
    if (hash) done.push(await tell(session, call, hash))
    else silent ||= status < 400 || status >= 600 // of 4xx nothing was sent, of 5xx all was reverted
  }
  if (silent) throw failure('outcome_unknown', 'The wallet does not say what became of the batch; the server looks for it on the chain.')
}

const partOf = ({ to, data, value }: WalletCall): object => ({ to, data, value })

type Ask = (method: string, ...params: unknown[]) => Promise<unknown>

/** @internal */
export const askOf = (wallet: Provider): Ask => (method, ...params) => askWallet(() => wallet.request({ method, params }))

/** @internal Has the wallet be at an account and a chain. */
export const choose = async (wallet: Provider, from: string, chain: number): Promise<Ask> => {
  const ask = askOf(wallet)
  const accounts = (await ask('eth_requestAccounts')) as string[]
  if (!accounts.some((a) => a.toLowerCase() === from.toLowerCase())) throw failure('invalid_params', `Choose the account ${from} in the wallet; only it can send this.`)
  if (Number(await ask('eth_chainId')) !== chain) await ask('wallet_switchEthereumChain', { chainId: hex(chain) })
  return ask
}

const tell = async (session: Session, call: WalletCall, hash: string): Promise<Sent> => {
  const sent: Sent = { call, hash }
  // The server looks for it by itself too, and may have found it already: then nothing waits any more.
  await session.call('wallet.sent', { run: call.run, effect: call.effect, hash, idempotency_key: hash.slice(2) /* of 64 characters at most */ })
    .catch((e) => { if (!/^(not_found|approval_late)$/.test(e.code)) sent.refused = e })
  return sent
}

/**
 * What a wallet says of batches (EIP-5792): that it makes a transaction of each call, unsupported, or one of all, supported;
 * nothing if it knows none. One that folds calls is given no batch of calls that are each a payment: its transaction would
 * not be what was passed for any, and not be found.
 */
const atomicOf = async (wallet: Provider, from: string, chain: number): Promise<string | undefined> => {
  try {
    const all = (await wallet.request({ method: 'wallet_getCapabilities', params: [from, [hex(chain)]] })) as
      Record<string, { atomic?: { status?: string } }>
    const own = all[hex(chain)]
    return own && ([own, all['0x0']].map((c) => c?.atomic?.status).find((s) => s && s !== 'unsupported') ?? 'unsupported')
  } catch {
    return undefined
  }
}

/** Waits until a batch is done: 100 is under way, 200 done, all else has failed, in a part perhaps. 0 if it is not told. */
const statusOf = async (session: Session, ask: Ask, id: string): Promise<{ status: number; receipts?: Status['receipts'] }> => {
  for (let n = 1; n <= 600; n++) {
    const { status: said, receipts } = (await ask('wallet_getCallsStatus', id)) as Status
    const status = said === 'CONFIRMED' /* of version 1 */ ? 200 : Number(said)
    if (status >= 200) return { status, receipts }
    await session.pause(Math.min(n, 5))
  }
  return { status: 0 }
}
