import type { wire } from '../../sdk/src/index.ts'

/** A count of smallest units as people write it: "1,000.5". */
export const decimal = (units: string | bigint, decimals: number): string => {
  const digits = units.toString().padStart(decimals + 1, '0')
  const whole = digits.slice(0, digits.length - decimals).replace(/\B(?=(\d{3})+(?!\d))/g, ',')
  const part = digits.slice(digits.length - decimals).replace(/0+$/, '')
  return part ? `${whole}.${part}` : whole
}

export const amountText = (a: wire.Amount): string => `${decimal(a.units, a.decimals)} ${a.asset}`

export const usdText = (nano: number): string => `${decimal(String(Math.round(nano)), 9)} USD`

/** A share of an offer in 100 steps, in whole units of the finest digit that a person would pick. */
export const shareOf = (units: string, step: number, decimals: number): string => {
  const all = BigInt(units)
  const raw = (all * BigInt(step)) / 100n
  const grain = 10n ** BigInt(Math.max(decimals - 2, 0))
  const cut = raw - (raw % grain)
  return (step >= 100 ? all : cut).toString()
}

/** The time of day in UTC, which is written out. */
export const clock = (ms: number): string => new Date(ms).toISOString().slice(11, 16) + ' UTC'

export const leftText = (ms: number): string => {
  const s = Math.max(0, Math.round(ms / 1000))
  if (s < 3600) return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, '0')}`
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`
}

/** A size in bytes as people say it. */
export const sizeText = (n: number): string => (n < 1024 ? `${n} B` : n < 1 << 20 ? `${Math.round(n / 1024)} KiB` : `${(n / (1 << 20)).toFixed(1)} MiB`)
