import { toHex, utf8 } from './bytes.ts'
import { failure, walletFailure } from './errors.ts'

/** Typed data of EIP-712, as the server gives it for an approval. */
export interface TypedData {
  domain: Record<string, unknown>
  types: Record<string, { name: string; type: string }[]>
  primaryType: string
  message: Record<string, unknown>
}

/** What signs for an account: a text by personal_sign, and typed data by EIP-712. Both give 0x and hex. */
export interface Signer {
  address: string
  signMessage(message: string): Promise<string>
  signTypedData(typed: TypedData): Promise<string>
}

/** An EIP-1193 provider. */
export interface Provider { request(args: { method: string; params?: unknown[] }): Promise<unknown> }

/** A viem account, or a viem wallet client with its account. */
export interface ViemSigner {
  address?: string
  account?: { address: string }
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  signMessage(args: any): Promise<string>
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  signTypedData(args: any): Promise<string>
}

/** A signer of ethers 6. */
export interface EthersSigner {
  getAddress(): Promise<string>
  signMessage(message: string): Promise<string>
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  signTypedData(domain: any, types: any, message: any): Promise<string>
}

/** An account with a function that signs whatever it is given. */
export interface SigningFunction {
  address: string
  sign(what: { message: string } | { typedData: TypedData }): Promise<string>
}

export type Wallet = Provider | SigningFunction | ViemSigner | EthersSigner

/** Turns any wallet into a signer. An EIP-1193 provider is asked for its account, which may open its window. */
export const signerOf = async (wallet: Wallet): Promise<Signer> => {
  const guard = async <T>(p: Promise<T>): Promise<T> => p.catch((e) => { throw walletFailure(e) })
  const make = (
    address: string | undefined, signMessage: (m: string) => Promise<unknown>, signTypedData: (t: TypedData) => Promise<unknown>,
  ): Signer => {
    if (!address) throw failure('user_rejected', 'The wallet gave no account.')
    return { address, signMessage: (m) => guard(signMessage(m) as Promise<string>), signTypedData: (t) => guard(signTypedData(t) as Promise<string>) }
  }
  if ('getAddress' in wallet)
    return make(await wallet.getAddress(), (m) => wallet.signMessage(m),
      ({ domain, types: { EIP712Domain: _, ...types }, message }) => wallet.signTypedData(domain, types, message))
  if ('signMessage' in wallet) {
    const account = wallet.account ?? wallet
    return make(account.address, (message) => wallet.signMessage({ account, message }), (t) => wallet.signTypedData({ account, ...t }))
  }
  if ('sign' in wallet) return make(wallet.address, (message) => wallet.sign({ message }), (typedData) => wallet.sign({ typedData }))
  const ask = (method: string, ...params: unknown[]): Promise<unknown> => wallet.request({ method, params })
  const address = ((await guard(ask('eth_requestAccounts'))) as string[])[0]
  return make(address, (m) => ask('personal_sign', '0x' + toHex(utf8(m)), address),
    (t) => ask('eth_signTypedData_v4', address, JSON.stringify(t)))
}
