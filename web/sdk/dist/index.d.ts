/**
 * The page's side of writ. `connect` to a server, `signIn` with a wallet, `session.run` an agent:
 *
 *     const client = await connect('https://writ.example')
 *     const session = await client.signIn(window.ethereum, { agent: 'treasurer' })
 *     const run = session.run('send 5 USDC to bob')
 *     for await (const u of run) {
 *       if (u.kind === 'approval') await u.approval.approve()
 *     }
 *     const { text } = await run
 *
 * The protocol is told in docs/protocol.md; the types in `wire` are made from its OpenRPC document.
 */
export { connect, type Client, type ConnectOptions, type SignInRequest, type State } from './client.js';
export { askWallet, failure, WritError, type ErrorData } from './errors.js';
export { type SessionKey } from './key.js';
export { type CallSummary, type Outcome, type Run, type RunOptions, type Update, type WaitingApproval } from './run.js';
export { type SavedSession, type Session } from './session.js';
export { type Signer, type TypedData, type Wallet } from './wallet.js';
export type * as wire from './wire.js';
