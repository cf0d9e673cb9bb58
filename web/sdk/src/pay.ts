/** The user's own wallet sends what runs ask it for: by wallet_sendCalls (EIP-5792) where that is safe, else one by one. */
import type { Session } from './session.ts'
import type { Provider } from './wallet.ts'
import type { Code, WalletCall } from './wire.ts'
import { askWallet, WritError } from './index.js' // the same class, which a page tests for

/**
 * What the wallet has sent for a call. The server believes the chain, and takes the hash as a hint. refused is its answer
 * where it does not take this hash for this call: show it, since the call may still have to be paid.
 */
export interface Sent { call: WalletCall; hash: string; refused?: unknown }

interface Status { status: number | string; receipts?: { transactionHash: string }[] }

const failure = (code: Code, message: string): WritError => new WritError(message, { code, retryable: false })

const hex = (n: number): string => '0x' + n.toString(16)

/** The transactions that the wallet is asked to send, of all its runs. */
export const payments = async (session: Session): Promise<WalletCall[]> => (await session.call('wallet.list', {})).calls ?? []

/**
 * Has the wallet send calls, all of one chain and account, and tells the server. The wallet shows each, or all of them at
 * once where it sends them as a batch. If it refuses, nothing more is sent; what had been is told. Give each call once: a
 * second time is a second payment. onBatch is told the id of each batch, which settle takes if this page does not live on.
 */
export const pay = async (
  session: Session, wallet: Provider, calls: WalletCall[], onBatch?: (id: string, calls: WalletCall[]) => void,
): Promise<Sent[]> => {
  const [first] = calls
  if (!first) return []
  const { chain, from } = first
  if (calls.some((c) => c.chain !== chain || c.from !== from)) throw failure('invalid_params', 'Pay calls of one chain and account at a time.')
  const ask = askOf(wallet)
  const accounts = (await ask('eth_requestAccounts')) as string[]
  if (!accounts.some((a) => a.toLowerCase() === from.toLowerCase())) throw failure('invalid_params', `The wallet has not the account ${from}; choose it there.`)
  if (Number(await ask('eth_chainId')) !== chain) await ask('wallet_switchEthereumChain', { chainId: hex(chain) })
  const atomic = calls.length > 1 || first.parts ? await atomicOf(wallet, from, chain) : undefined
  const batch = async (atomicRequired: boolean, of: WalletCall[], parts: object[]): Promise<Sent[]> => {
    const sent = (await ask('wallet_sendCalls', {
      version: '2.0.0', from, chainId: hex(chain), atomicRequired, calls: parts,
    })) as { id: string } | string
    const id = typeof sent === 'string' ? sent : sent.id
    onBatch?.(id, of)
    return settle(session, wallet, of, id)
  }
  if (atomic === 'unsupported' && calls.length > 1) return batch(false, calls, calls.map(partOf))
  const done: Sent[] = []
  for (const call of calls) {
    if (call.parts && atomic === 'supported') done.push(...await batch(true, [call], call.parts))
    else done.push(await tell(session, call, (await ask('eth_sendTransaction', { from, ...partOf(call), type: '0x2' })) as string))
  }
  return done
}

/** Waits until the wallet says what became of a batch that pay had it send, and tells the server. What is missing was not sent. */
export const settle = async (session: Session, wallet: Provider, calls: WalletCall[], id: string): Promise<Sent[]> => {
  const { status, receipts = [] } = await statusOf(session, askOf(wallet), id)
  const done: Sent[] = []
  for (const [i, call] of calls.entries()) {
    // Of a batch that is done each call was sent, be it with others in one transaction, against the wallet's own word.
    const hash = (receipts[i] ?? (isDone(status) ? receipts[0] : undefined))?.transactionHash
    if (hash) done.push(await tell(session, call, hash))
  }
  return done
}

const partOf = ({ to, data, value }: WalletCall): object => ({ to, data, value })

type Ask = (method: string, ...params: unknown[]) => Promise<unknown>

const askOf = (wallet: Provider): Ask => (method, ...params) => askWallet(() => wallet.request({ method, params }))

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
    const said = [all[hex(chain)], all['0x0']].map((c) => c?.atomic?.status ?? 'unsupported')
    return all[hex(chain)] && (said.find((s) => s !== 'unsupported') ?? 'unsupported')
  } catch {
    return undefined
  }
}

const isDone = (status: number | string): boolean => status === 'CONFIRMED' /* of version 1 */ || (Number(status) >= 200 && Number(status) < 300)

/** Waits until a batch is done: 100 is under way, 200 done, all else has failed, in a part perhaps. */
const statusOf = async (session: Session, ask: Ask, id: string): Promise<Status> => {
  for (let n = 1; n <= 600; n++) {
    const s = (await ask('wallet_getCallsStatus', id)) as Status
    if (isDone(s.status) || Number(s.status) >= 200) return s
    await session.pause(Math.min(n, 5))
  }
  throw failure('outcome_unknown', 'The wallet does not say what became of the batch; the server looks for it on the chain.')
}
