// What only signing in needs. The core loads this when it is given a wallet: a page that was loaded again has a session.
import { bytesToInt, toHex, utf8 } from './bytes.ts'
import { p256, type SessionKey } from './key.ts'
import type { Signer, TypedData, Wallet } from './wallet.ts'

const digits = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

const base58 = (b: Uint8Array): string => {
  let s = ''
  for (let n = bytesToInt(b); n > 0n; n /= 58n) s = digits[Number(n % 58n)] + s
  return s
}

/** Makes a P-256 key that no script can read. */
export const makeKey = async (): Promise<SessionKey> => {
  const pair = await crypto.subtle.generateKey(p256, false, ['sign', 'verify'])
  const raw = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey)) // 4, x, y
  const did = 'did:key:z' + base58(Uint8Array.from([0x80, 0x24, 2 | (raw[64]! & 1), ...raw.slice(1, 33)]))
  return { did, pair }
}

/**
 * Why a message must not be signed, or nothing. A wallet signs what it is shown, and the message is the server's, so it
 * must be of this server, account and key.
 */
export const findFault = (message: string, host: string, address: string, key: SessionKey): string =>
  message.split(' ')[0]!.replace(/^https?:\/\//, '') === host &&
  message.toLowerCase().includes(`\n${address.toLowerCase()}\n`) && message.includes(`\nURI: ${key.did}\n`)
    ? '' : 'The server wants something else signed. Do not sign it.'

/**
 * Turns any wallet into a signer. An EIP-1193 provider is asked for its account, which may open its window. What a wallet
 * throws comes out as it is.
 */
export const signerOf = async (wallet: Wallet | undefined): Promise<Signer> => {
  const make = (
    address: string, signMessage?: (m: string) => Promise<unknown>, signTypedData?: (t: TypedData) => Promise<unknown>,
  ): Signer => ({ address, signMessage, signTypedData } as Signer)
  if (!wallet) return make('') // as a wallet that gives no account: a browser without one has no ethereum
  if ('getAddress' in wallet)
    return make(await wallet.getAddress(), (m) => wallet.signMessage(m),
      ({ domain, types: { EIP712Domain: _, ...types }, message }) => wallet.signTypedData(domain, types, message))
  if ('signMessage' in wallet) {
    const account = wallet.account ?? wallet
    return make(account.address ?? '', (message) => wallet.signMessage({ account, message }), (t) => wallet.signTypedData({ account, ...t }))
  }
  if ('sign' in wallet) return make(wallet.address, (message) => wallet.sign({ message }), (typedData) => wallet.sign({ typedData }))
  const ask = (method: string, ...params: unknown[]): Promise<unknown> => wallet.request({ method, params })
  const [address = ''] = (await ask('eth_requestAccounts')) as string[]
  return make(address, (m) => ask('personal_sign', '0x' + toHex(utf8(m)), address),
    (t) => ask('eth_signTypedData_v4', address, JSON.stringify(t)))
}
