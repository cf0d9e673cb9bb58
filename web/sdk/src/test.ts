/** A wallet for tests: a fresh account that signs what it is asked, or refuses. Its key is in memory. */
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { keccak_256 } from '@noble/hashes/sha3.js'
import { fromHex, toHex, utf8 } from './bytes.ts'
import type { TypedData } from './wallet.ts'

/** An EIP-1193 provider over one account. Set `refuses` to have it answer 4001, as a user who clicks "reject". */
export interface MockWallet {
  address: string
  refuses: boolean
  /** What it was asked to sign, in order. */
  asked: { method: string; params: unknown[] }[]
  request(args: { method: string; params?: unknown[] }): Promise<unknown>
}

const join = (...parts: Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((p) => [...p]))

const checksum = (address: string): string => {
  const hash = toHex(keccak_256(utf8(address)))
  return '0x' + [...address].map((c, i) => (parseInt(hash[i]!, 16) > 7 ? c.toUpperCase() : c)).join('')
}

/** Makes a wallet, of a given secret key in hex or a fresh one. */
export const mockWallet = (secret?: string): MockWallet => {
  const key = secret ? fromHex(secret.replace(/^0x/, '')) : secp256k1.utils.randomSecretKey()
  const address = checksum(toHex(keccak_256(secp256k1.getPublicKey(key, false).slice(1)).slice(12)))
  const sign = (digest: Uint8Array): string => {
    const sig = secp256k1.sign(digest, key, { prehash: false, format: 'recovered' })
    return '0x' + toHex(sig.slice(1)) + (27 + sig[0]!).toString(16)
  }
  const wallet: MockWallet = {
    address, refuses: false, asked: [],
    request: async ({ method, params = [] }) => {
      if (method === 'eth_requestAccounts' || method === 'eth_accounts') return [address]
      wallet.asked.push({ method, params })
      if (wallet.refuses) throw Object.assign(new Error('User rejected the request.'), { code: 4001 })
      if (method === 'personal_sign') {
        const message = fromHex((params[0] as string).slice(2))
        return sign(keccak_256(join(utf8(`\u0019Ethereum Signed Message:\n${message.length}`), message)))
      }
      if (method === 'eth_signTypedData_v4') return sign(hashTypedData(JSON.parse(params[1] as string) as TypedData))
      throw Object.assign(new Error(`The mock wallet does not know ${method}.`), { code: 4200 })
    },
  }
  return wallet
}

/** The digest of EIP-712 that a wallet signs. */
export const hashTypedData = (t: TypedData): Uint8Array =>
  keccak_256(join(Uint8Array.of(0x19, 1), hashStruct(t, 'EIP712Domain', t.domain), hashStruct(t, t.primaryType, t.message)))

const hashStruct = (t: TypedData, type: string, value: Record<string, unknown>): Uint8Array => {
  const parts = t.types[type]!.map((f) => encodeField(t, f.type, value[f.name]))
  return keccak_256(join(keccak_256(utf8(encodeType(t, type))), ...parts))
}

const encodeType = (t: TypedData, type: string): string => {
  const used = new Set<string>()
  const walk = (name: string): void => {
    const base = name.replace(/\[.*$/, '')
    if (!t.types[base] || used.has(base)) return
    used.add(base)
    t.types[base].forEach((f) => walk(f.type))
  }
  walk(type)
  used.delete(type)
  return [type, ...[...used].sort()].map((n) => `${n}(${t.types[n]!.map((f) => `${f.type} ${f.name}`).join(',')})`).join('')
}

const word = (n: bigint): Uint8Array => fromHex(BigInt.asUintN(256, n).toString(16).padStart(64, '0'))

const encodeField = (t: TypedData, type: string, v: unknown): Uint8Array => {
  if (type.endsWith(']')) {
    const element = type.slice(0, type.lastIndexOf('['))
    return keccak_256(join(...(v as unknown[]).map((x) => encodeField(t, element, x))))
  }
  if (t.types[type]) return hashStruct(t, type, v as Record<string, unknown>)
  if (type === 'string') return keccak_256(utf8(v as string))
  if (type === 'bytes') return keccak_256(fromHex((v as string).slice(2)))
  if (type.startsWith('bytes')) return fromHex((v as string).slice(2).padEnd(64, '0'))
  if (type === 'bool') return word(v ? 1n : 0n)
  return word(BigInt(v as string | number))
}
