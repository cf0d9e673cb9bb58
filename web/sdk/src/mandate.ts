/**
 * Delegations (ERC-7710): the user's own account lets the agent's account pay, within limits that contracts keep, whatever
 * the server does. The account is a smart account, or becomes one by EIP-7702.
 */
import type { Session } from './session.ts'
import type { Provider, TypedData } from './wallet.ts'
import type { GivenMandate, MandateAsk } from './wire.ts'
import { askOf, choose } from './pay.js'

/** A delegation of what the session's grant allows, for `giveMandate`. Show its `text` first, and what to do if it is not `smart`. */
export const askMandate = (session: Session, wish: { token?: string; account?: string } = {}): Promise<MandateAsk> =>
  session.call('mandate.ask', wish)

/**
 * Has the wallet allow what was asked, and hands it over: by wallet_requestExecutionPermissions (ERC-7715) where the wallet
 * has that kind of permission on that chain, else as typed data, which the session's account signs. A wallet may allow
 * something else than was asked: what comes back says in `text` where the chain alone would stop, and in `notes` how that
 * differs from the grant. Show both.
 */
export const giveMandate = async (session: Session, wallet: Provider, asked: MandateAsk): Promise<GivenMandate> => {
  const ask = askOf(wallet)
  if (await grants(wallet, asked)) {
    const [granted] = (await ask('wallet_requestExecutionPermissions', asked.permission)) as { context: string }[]
    return session.call('mandate.put', { context: granted!.context })
  }
  const { chain: _, signature: __, ...message } = asked.mandate
  // What is signed is made of what is handed over, so that the two are never about different limits.
  const typed = { ...(asked.typed_data as TypedData), message: { ...message, caveats: message.caveats.map(({ args: _, ...c }) => c) } }
  const signature = (await ask('eth_signTypedData_v4', session.info.account, JSON.stringify(typed))) as string
  return session.call('mandate.put', { mandate: { ...asked.mandate, signature } })
}

/** What was handed over in this session, one a token, with what the chain has counted. */
export const mandates = async (session: Session): Promise<GivenMandate[]> => (await session.call('mandate.list', {})).mandates ?? []

/**
 * Has the account revoke a delegation on the chain, where it is over for everybody, and returns the transaction's hash once
 * the wallet has sent it. The wallet is asked for the delegation's chain, and must have its account, which alone can revoke
 * it. `mandates` tells when the chain has it: `state` is `revoked` then.
 */
export const revokeMandate = async (wallet: Provider, { delegator: from, manager: to, revoke: data, chain }: GivenMandate): Promise<string> =>
  (await (await choose(wallet, from, chain))('eth_sendTransaction', { from, to, data, value: '0x0' })) as string

/** Whether a wallet grants this kind of permission, with these rules, on this chain. Chains come as numbers and as hex digits. */
const grants = async (wallet: Provider, asked: MandateAsk): Promise<boolean> => {
  const { permission, rules } = asked.permission as { permission: { type: string }; rules: { type: string }[] }
  try {
    const all = (await wallet.request({ method: 'wallet_getSupportedExecutionPermissions', params: [] })) as
      Record<string, { chainIds: (number | string)[]; ruleTypes?: string[] }>
    const kind = all[permission.type]
    return !!kind && kind.chainIds.some((id) => Number(id) === asked.mandate.chain) && rules.every((r) => kind.ruleTypes?.includes(r.type))
  } catch {
    return false // it knows no such permissions
  }
}
