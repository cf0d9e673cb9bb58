// What a run's events say, in sentences. Pure: the page shows what this returns.
import type { wire } from '../../sdk/src/index.ts'
import { amountText, decimal, sizeText, usdText } from './amounts.ts'

export type Tone = '' | 'ok' | 'bad' | 'warn' | 'acc'

/** One row of the spine: a step's number, what it says, and why. */
export interface Row {
  step: number
  tone: Tone
  icon: string
  text: string
  why: string
  cid: string
  table: [string, string][]
}

/** What a rule compared: asked on the left, its bound on the right. */
export interface Atom { left: string; right: string }

export interface Story {
  asked: string
  files: wire.Attached[]
  rows: Row[]
  /** What the agent asks its user now. */
  asks: wire.Question | undefined
  said: string
  /** Why something was denied, if it was. */
  denied: { rule: string; message: string; change: string; atoms: Atom[] } | undefined
  /** Why the run closed; empty while it is open. */
  reason: string
  code: string
  retryable: boolean
  spent: string
  cost: string
  calls: number
  /** Whether the user's own wallet was asked to pay. */
  pays: boolean
  last: number
}

export const emptyStory = (asked = ''): Story => ({
  asked, files: [], rows: [], asks: undefined, said: '', denied: undefined, reason: '', code: '', retryable: false, spent: '', cost: '', calls: 0, pays: false, last: -1,
})

interface Why { message?: string; change?: string; atoms?: { left: string; right: string; holds: boolean; expr: string }[] }

const rulesOf = (ds: wire.Decision[] | undefined): string => [...new Set((ds ?? []).flatMap((d) => d.rules ?? []))].join(', ')

/** What stands in the place of what was erased. */
export const ERASED = '(erased)'

const text = (v: unknown): string => (typeof v === 'string' ? v : JSON.stringify(v))

/** Files by their names and sizes. */
export const filesText = (files: wire.Attached[]): string => files.map((f) => `${f.name ?? f.type}, ${sizeText(f.size)}`).join('; ')

const argsTable = (args: unknown): [string, string][] =>
  Object.entries((args ?? {}) as Record<string, unknown>).map(([k, v]) => [k, text(v)])

/** What a tool's result says first, where it is known; the whole is in the table. */
const resultText = (tool: string, output: unknown): string => {
  const o = (output ?? {}) as { moves?: { display: string; name?: string; to: string }; block?: string; display?: string; simulated?: string; ok?: boolean; hash?: string; raw?: string }
  if (o.moves) return `Moved ${o.moves.display} to ${o.moves.name || o.moves.to} in block ${o.block}`
  if (o.simulated) return o.ok === false ? 'The simulation was reverted' : 'Simulated'
  if (o.raw) return 'Signed by the agent\'s account'
  if (o.display) return `${o.display}${o.block ? ` at block ${o.block}` : ''}`
  return `${tool} answered`
}

/** Why nothing is done about a transaction that blocks leave out. */
export const stuckText = (why: string): string => ({
  settings: 'the operator\'s settings leave it to a person', ceiling: 'what it would take is above the operator\'s limit for fees',
  attempts: 'it was replaced as often as may be', insufficient_funds: 'the agent\'s account has too little of the chain\'s coin for higher fees',
  other_key: 'it is of another account than the agent\'s',
})[why] ?? `blocks leave it out${why && ` (${why})`}`

/** A payment that is on its way: what has become of it since it was sent. Empty if this says nothing of it. */
const underway = (output: unknown): [Tone, string, string] | undefined => {
  const o = (output ?? {}) as { state?: string; hash?: string; why?: string; max_fee?: string; base_fee?: string; block?: string; cancels?: boolean; by?: string }
  const fee = (wei: string | undefined): string => decimal(wei ?? '0', 9)
  if (o.state === 'replaced') return ['acc', o.cancels ? 'Another transaction is sent in its place, which moves nothing' : 'Sent again with higher fees, in the place of the one before',
    `${o.by === 'operator' ? 'by the operator' : 'since blocks left it out'}; only one of them can be mined, and the payment counts once`]
  if (o.state === 'stuck') return ['warn', 'Stuck: no block takes it, and it may still be mined', `it offers ${fee(o.max_fee)} gwei for a unit of gas, and block ${o.block} asked ${fee(o.base_fee)}; ${stuckText(o.why ?? '')}. The operator can replace or cancel it`]
  if (o.state) return ['acc', `On its way: ${o.state.replaceAll('_', ' ')}`, '']
  return undefined
}

const phases: Record<string, string> = { simulate: 'Permitted to simulate', sign: 'Permitted to sign', send: 'Sends' }

const reasons: Record<string, [Tone, string]> = {
  answered: ['ok', 'Answered'], denied: ['bad', 'Denied'], waiting: ['acc', 'Waiting for your wallet'], failed: ['bad', 'Failed'],
  truncated: ['warn', 'Cut at the model\'s limit'], declined: ['warn', 'Declined by the model'], limit: ['warn', 'A limit is reached'],
  timeout: ['warn', 'Out of time'], cancelled: ['', 'Cancelled'], revoked: ['', 'Session revoked'], running: ['acc', 'Running'],
  parked: ['acc', 'Parked'], asks: ['acc', 'Asks you'], refused: ['', 'Refused by you'], unanswered: ['warn', 'Nobody answered'], cut: ['bad', 'Cut by a damage'], in_doubt: ['warn', 'In doubt'],
}

/** An outcome in a word, with its tone. */
export const outcome = (reason: string): [Tone, string] => reasons[reason] ?? ['', reason.replaceAll('_', ' ')]

/** The story with one more event. An event that was told is not told again. */
export const tell = (s: Story, e: wire.RunEvent, tools: Map<string, string>): Story => tellInto({ ...s, rows: [...s.rows] }, e, tools)

/** The same, into a story that nobody shows as it is. */
export const tellInto = (s: Story, e: wire.RunEvent, tools: Map<string, string>): Story => {
  if (e.seq <= s.last) return s
  const next = s
  next.last = e.seq
  const row = (tone: Tone, icon: string, t: string, why = '', table: [string, string][] = []): void => {
    next.rows.push({ step: e.seq, tone, icon, text: t, why, cid: e.cid, table })
  }
  const ev = e.event
  const of = ev.of ? `${ev.of.seq}.${ev.of.index}` : ''
  if (ev.kind === 'ask') {
    const { input, text: sent, attach } = (ev.input ?? {}) as { input?: string; text?: string; attach?: wire.Attached[] }
    if (e.seq === 0) {
      next.asked = input ?? (ev.erased ? ERASED : s.asked)
      next.files = attach ?? []
    } else {
      const stopped = (e.decisions ?? []).filter((d) => d.outcome === 'deny')
      row(stopped.length ? 'bad' : '', 'talk', `You ${ev.of ? 'answered' : 'said'}: ${sent ?? ERASED}${attach ? ` (with ${filesText(attach)})` : ''}`,
        stopped.length ? `not let in by ${rulesOf(stopped)}, and told to nobody` : '')
      if (ev.of && !stopped.length) next.asks = undefined
    }
  }
  if (ev.kind === 'lapse' && ev.of) next.asks = undefined
  if (ev.kind === 'reply' && ev.failed === 'model.outrun') row('', 'sync', 'The other model was quicker', 'Both are counted')
  else if (ev.kind === 'reply' && ev.failed) row('warn', 'sync', `${ev.model?.name || 'The model'} did not answer`, ev.failed)
  if (ev.kind === 'reply' && ev.model && ev.model.provider !== 'writ')
    row('', 'route', `${ev.model.answered || ev.model.name} answered`, `${ev.model.tokens_in} tokens in, ${ev.model.tokens_out} out, ${usdText(ev.model.cost_nano)}; the provider claims this model, and nothing proves it`)
  if (ev.kind === 'result') {
    const tool = tools.get(of) ?? 'The tool'
    const way = ev.status === 'pending' ? underway(ev.output) : undefined
    if (way) row(way[0], way[0] === 'warn' ? 'warn' : 'sync', way[1], way[2], argsTable(ev.output))
    else if (ev.erased) row(ev.status === 'ok' ? 'ok' : 'warn', 'result', `${tool}: ${ev.status}`, 'What it returned is erased')
    else if (ev.status === 'ok') row('ok', 'result', resultText(tool, ev.output), `${tool}, ${ev.took ?? 0} ms`, argsTable(ev.output).slice(0, 24))
    else row('warn', 'result', `${tool}: ${ev.status}`, text(ev.output ?? ''))
  }
  if (ev.kind === 'verdict') row(ev.approved ? 'ok' : '', ev.approved ? 'check' : 'x', ev.approved ? 'Approved by the wallet' : 'Refused by the wallet', ev.erased ? ERASED : ev.why ?? '')
  if (ev.kind === 'lapse' && ev.why === 'slow') row('', 'clock', 'The model is slow', 'Another one is asked too')
  else if (ev.kind === 'lapse') row('warn', 'clock', 'Ended before it was done', ev.why ?? '')
  for (const [index, d] of (e.does ?? []).entries()) {
    const here = `${e.seq}.${index}`
    switch (d.kind) {
      case 'ask_model':
        if (d.route?.kind === 'rules') row('', 'route', 'Rules answer, no model', `by rule ${d.route.rule}`)
        else row('', 'route', `Asks ${d.route?.model}`, `by rule ${d.route?.rule}, at most ${usdText(d.route?.cost_nano ?? 0)}`)
        break
      case 'call':
        tools.set(here, d.tool ?? '')
        next.pays ||= d.class === 'wallet'
        if (d.phase === 'ask') {
          const { question, choices } = (d.args ?? {}) as { question?: string; choices?: string[] }
          next.asks = { of: { seq: e.seq, index }, question: question ?? ERASED, choices: choices ?? [] }
          row('acc', 'talk', `Asks you: ${next.asks.question}`)
          break
        }
        row('ok', 'permit', `${phases[d.phase ?? ''] ?? 'Permitted'} ${d.tool}`, d.decisions ? `by ${rulesOf(d.decisions)}` : '', d.erased ? [['Arguments', ERASED]] : d.phase === 'send' || d.phase === 'sign' ? [] : argsTable(d.args))
        break
      case 'seek': row('acc', 'pen', 'Your approval is needed', ((d.summary as { why?: string[] })?.why ?? []).join('; ') || rulesOf(d.decisions)); break
      case 'deny': {
        const last = (d.decisions ?? []).find((x) => x.outcome === 'deny')
        const why = (last?.why ?? {}) as Why
        row('bad', 'deny', `Denied ${d.tool}`, `by ${rulesOf(d.decisions?.filter((x) => x.outcome === 'deny'))}`)
        next.denied = {
          rule: last?.rules?.[0] ?? '', message: last?.erased ? ERASED : why.message ?? '', change: why.change ?? '',
          atoms: (why.atoms ?? []).filter((a) => !a.expr.includes('==')).map(({ left, right }) => ({ left, right })),
        }
        break
      }
      case 'say': next.said = d.erased ? ERASED : d.text ?? ''; break
      case 'close':
        next.reason = d.reason ?? 'closed'
        next.asks = undefined
        next.code = d.code ?? ''
        next.retryable = !!d.retryable
        next.calls = d.totals?.calls ?? 0
        next.cost = d.totals?.cost_nano ? usdText(d.totals.cost_nano) : ''
        next.spent = [...(d.totals?.spent ?? []).map(amountText), ...(d.totals?.over ?? []).map((a) => `${amountText(a)} of it more than was reserved`)].join(', ')
        row(outcome(next.reason)[0], 'flag', `Closed: ${outcome(next.reason)[1].toLowerCase()}`, d.code ? `${d.code}${d.retryable ? ', may work later' : ''}` : '')
    }
  }
  return next
}

/** What would move, as an approval's summary says it. */
export interface Summary {
  text?: string; tool?: string; amount?: string; to?: string; debit?: string; credit?: string; simulated?: string
  asked?: string; over?: string; others?: number
  args?: Record<string, unknown>; why?: string[]
  changes?: { changes?: { account: string; name?: string; token: string; decimals: number; before: string; after: string; display: string }[]; block?: string; chain?: number; method?: string }
}
