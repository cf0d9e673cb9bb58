/**
 * Delegations (ERC-7710): the user's own account lets the agent's account pay, within limits that contracts keep, whatever
 * the server does. The account is a smart account, or becomes one by EIP-7702.
 */
import type { Session } from './session.js';
import type { Provider } from './wallet.js';
import type { GivenMandate, MandateAsk } from './wire.js';
/** A delegation of what the session's grant allows, for `giveMandate`. Show its `text` first, and what to do if it is not `smart`. */
export declare const askMandate: (session: Session, wish?: {
    token?: string;
    account?: string;
}) => Promise<MandateAsk>;
/**
 * Has the wallet allow what was asked, and hands it over: by wallet_requestExecutionPermissions (ERC-7715) where the wallet
 * has that kind of permission on that chain, else as typed data, which the session's account signs. A wallet may allow
 * something else than was asked: what comes back says in `text` where the chain alone would stop, and in `notes` how that
 * differs from the grant. Show both.
 */
export declare const giveMandate: (session: Session, wallet: Provider, asked: MandateAsk) => Promise<GivenMandate>;
/** What was handed over in this session, one a token, with what the chain has counted. */
export declare const mandates: (session: Session) => Promise<GivenMandate[]>;
/**
 * Has the account revoke a delegation on the chain, where it is over for everybody, and returns the transaction's hash once
 * the wallet has sent it. The wallet is asked for the delegation's chain, and must have its account, which alone can revoke
 * it. `mandates` tells when the chain has it: `state` is `revoked` then.
 */
export declare const revokeMandate: (wallet: Provider, { delegator: from, manager: to, revoke: data, chain }: GivenMandate) => Promise<string>;
