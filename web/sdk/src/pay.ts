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

interface Status { status: number; receipts?: { transactionHash: string }[] }

const failure = (code: Code, message: string): WritError => new WritError(message, { code, retryable: false })

const hex = (n: number): string => '0x' + n.toString(16)

/** The transactions that the wallet is asked to send, of all its runs. */
export const payments = async (session: Session): Promise<WalletCall[]> => (await session.call('wallet.list', {})).calls ?? []

/**
 * Has the wallet send calls, all of one chain and account, and tells the server. The wallet shows each, or all of them at
 * once where it sends them as a batch. If it refuses, nothing more is sent; what had been is told. Give each call once: a
 * second time is a second payment.
 */
export const pay = async (session: Session, wallet: Provider, calls: WalletCall[]): Promise<Sent[]> => {
  const [first] = calls
  if (!first) return []
  const { chain, from } = first
  if (calls.some((c) => c.chain !== chain || c.from !== from)) throw failure('invalid_params', 'Pay calls of one chain and account at a time.')
  const ask = (method: string, ...params: unknown[]): Promise<unknown> => askWallet(() => wallet.request({ method, params }))
  const accounts = (await ask('eth_requestAccounts')) as string[]
  if (!accounts.some((a) => a.toLowerCase() === from.toLowerCase())) throw failure('invalid_params', `The wallet has not the account ${from}; choose it there.`)
  if (Number(await ask('eth_chainId')) !== chain) await ask('wallet_switchEthereumChain', { chainId: hex(chain) })
  const done: Sent[] = []
  const tell = async (call: WalletCall, hash: string): Promise<void> => {
    const sent: Sent = { call, hash }
    done.push(sent)
    // The server looks for it by itself too, and may have found it already: then nothing waits any more.
    await session.call('wallet.sent', { run: call.run, effect: call.effect, hash, idempotency_key: hash.slice(2) /* of 64 characters at most */ })
      .catch((e) => { if (!/^(not_found|approval_late)$/.test(e.code)) sent.refused = e })
  }
  if (await sendsOneByOne(wallet, from, chain)) {
    const sent = (await ask('wallet_sendCalls', {
      version: '2.0.0', from, chainId: hex(chain), atomicRequired: false,
      calls: calls.map(({ to, data, value }) => ({ to, data, value })),
    })) as { id: string } | string
    const id = typeof sent === 'string' ? sent : sent.id
    const { receipts = [] } = await statusOf(session, ask, id)
    for (const [i, call] of calls.entries()) if (receipts[i]) await tell(call, receipts[i].transactionHash)
    return done
  }
  for (const call of calls) {
    const { to, data, value } = call
    await tell(call, (await ask('eth_sendTransaction', { from, to, data, value, type: '0x2' })) as string)
  }
  return done
}

/**
 * Whether a wallet knows wallet_sendCalls and makes a transaction of each call. One that can fold calls into one, as a
 * contract account does, is not given a batch: its transaction would not be what was passed, and not be found.
 */
const sendsOneByOne = async (wallet: Provider, from: string, chain: number): Promise<boolean> => {
  try {
    const all = (await wallet.request({ method: 'wallet_getCapabilities', params: [from, [hex(chain)]] })) as
      Record<string, { atomic?: { status?: string } }>
    return [all['0x0'], all[hex(chain)]].every((c) => (c?.atomic?.status ?? 'unsupported') === 'unsupported') && !!all[hex(chain)]
  } catch {
    return false
  }
}

/** Waits until a batch is done: 100 is under way, 200 done, all else has failed, in a part perhaps. */
const statusOf = async (session: Session, ask: (method: string, ...params: unknown[]) => Promise<unknown>, id: string): Promise<Status> => {
  for (let n = 1; n <= 600; n++) {
    const s = (await ask('wallet_getCallsStatus', id)) as Status
    if (s.status >= 200) return s
    await session.pause(Math.min(n, 5))
  }
  throw failure('outcome_unknown', 'The wallet does not say what became of the batch; the server looks for it on the chain.')
}
