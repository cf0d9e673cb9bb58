/**
 * Delegations (ERC-7710): the user's own account lets the agent's account pay, within limits that contracts keep, whatever
 * the server does. The account is a smart account, or becomes one by EIP-7702.
 */
import type { Session } from './session.ts'
import type { Provider, TypedData } from './wallet.ts'
import type { GivenMandate, MandateAsk } from './wire.ts'
import { askWallet } from './index.js' // the same class of error, which a page tests for

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
  const ask = <T>(method: string, ...params: unknown[]): Promise<T> => askWallet(() => wallet.request({ method, params }) as Promise<T>)
  if (await grants(wallet, asked)) {
    const [granted] = await ask<{ context: string }[]>('wallet_requestExecutionPermissions', asked.permission)
    return session.call('mandate.put', { context: granted!.context })
  }
  const { delegate, delegator, authority, caveats, salt } = asked.mandate
  // What is signed is made of what is handed over, so that the two are never about different limits.
  const typed = { ...(asked.typed_data as TypedData), message: { delegate, delegator, authority, caveats: caveats.map(({ enforcer, terms }) => ({ enforcer, terms })), salt } }
  const signature = await ask<string>('eth_signTypedData_v4', session.info.account, JSON.stringify(typed))
  return session.call('mandate.put', { mandate: { ...asked.mandate, signature } })
}

/** What was handed over in this session, one a token, with what the chain has counted. */
export const mandates = async (session: Session): Promise<GivenMandate[]> => (await session.call('mandate.list', {})).mandates ?? []

/**
 * Has the account revoke a delegation on the chain, where it is over for everybody, and returns the transaction's hash once
 * the wallet has sent it. `mandates` tells when the chain has it: `state` is `revoked` then.
 */
export const revokeMandate = (wallet: Provider, given: GivenMandate): Promise<string> =>
  askWallet(() => wallet.request({
    method: 'eth_sendTransaction', params: [{ from: given.delegator, to: given.manager, data: given.revoke, value: '0x0' }],
  }) as Promise<string>)

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
