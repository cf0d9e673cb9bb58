// Wallets that announce themselves (EIP-6963), and what stands at window.ethereum where none does.
import { signal } from '@preact/signals'
import type { Wallet } from '../../sdk/src/index.ts'

export interface Found { name: string; icon: string; uuid: string; provider: Wallet }

export const wallets = signal<Found[]>([])

interface Announced { detail?: { info?: { name?: unknown; icon?: unknown; uuid?: unknown }; provider?: unknown } }

export const findWallets = (): void => {
  window.addEventListener('eip6963:announceProvider', (e) => {
    const { info, provider } = (e as Announced).detail ?? {}
    const uuid = String(info?.uuid ?? '')
    if (!provider || wallets.value.length >= 32 || wallets.value.some((w) => w.uuid === uuid)) return
    const icon = String(info?.icon ?? '')
    wallets.value = [...wallets.value, {
      name: String(info?.name ?? 'Wallet').slice(0, 40), uuid, provider: provider as Wallet,
      icon: icon.startsWith('data:image/') ? icon : '', // nothing is fetched from elsewhere
    }]
  })
  window.dispatchEvent(new Event('eip6963:requestProvider'))
  setTimeout(() => {
    const old = (window as { ethereum?: Wallet }).ethereum
    if (old && !wallets.value.length) wallets.value = [{ name: 'Browser wallet', icon: '', uuid: 'ethereum', provider: old }]
  }, 300)
}
