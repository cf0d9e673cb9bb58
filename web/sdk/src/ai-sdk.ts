/** A run as the UI message stream of the AI SDK, and a transport for its `useChat`. */
import type { Outcome, Run, RunOptions, Update, WaitingApproval } from './run.ts'
import type { Session } from './session.ts'
import type { Decision, Totals } from './wire.ts'

/** What a message's metadata says at the end: `useChat<UIMessage<WritMetadata, WritData>>`. */
export interface WritMetadata { run: string; reason: string; code: string | undefined; totals: Totals | undefined }

/** The data parts of a message, of the types `data-writ-approval` and `data-writ-deny`. */
export type WritData = {
  'writ-approval': Pick<WaitingApproval, 'run' | 'effect' | 'step' | 'summary' | 'until' | 'findings'>
  'writ-deny': { tool: string | undefined; decisions: Decision[] | undefined }
}

/** A chunk of a UI message stream. */
export type UIChunk =
  | { type: 'start'; messageId: string }
  | { type: 'text-start'; id: string }
  | { type: 'text-delta'; id: string; delta: string }
  | { type: 'text-end'; id: string }
  | { type: 'tool-input-available'; toolCallId: string; toolName: string; input: unknown; dynamic: true; providerExecuted: true }
  | { type: 'tool-output-available'; toolCallId: string; output: unknown }
  | { type: 'tool-output-error'; toolCallId: string; errorText: string }
  | { type: 'data-writ-approval'; id: string; data: WritData['writ-approval'] }
  | { type: 'data-writ-deny'; data: WritData['writ-deny'] }
  | { type: 'finish'; finishReason: 'stop' | 'length' | 'content-filter' | 'other'; messageMetadata: WritMetadata }
  | { type: 'error'; errorText: string }

const finishes: Record<string, 'stop' | 'length' | 'content-filter'> = { answered: 'stop', truncated: 'length', declined: 'content-filter' }

/**
 * What a run gives, in the words of the AI SDK: text, tool calls with their inputs and outputs, and as data parts what it
 * has no words for: `data-writ-approval`, a call that waits for the wallet, and `data-writ-deny`, one that a rule stopped.
 * What was shown and is not what was decided stays, and the answer follows as a text of its own.
 */
export async function* toUIMessages(
  run: AsyncIterable<Update> & PromiseLike<Outcome> & { started: Promise<string> },
): AsyncGenerator<UIChunk, void, void> {
  let id = ''
  let shown = ''
  let count = 0
  const calls = new Set<string>()
  const open = function* (): Generator<UIChunk> {
    id = `t${count++}`
    shown = ''
    yield { type: 'text-start', id }
  }
  const close = function* (): Generator<UIChunk> {
    if (id) yield { type: 'text-end', id }
    id = ''
  }
  try {
    const messageId = await run.started
    yield { type: 'start', messageId }
    for await (const u of run) {
      if (u.kind === 'delta' && u.text) {
        if (!id) yield* open()
        shown += u.text
        yield { type: 'text-delta', id, delta: u.text }
      } else if (u.kind === 'approval') {
        const { run: of, effect, step, summary, until, findings } = u.approval
        yield { type: 'data-writ-approval', id: `${step}.${effect.index}`, data: { run: of, effect, step, summary, until, findings } }
      } else if (u.kind === 'event') {
        const { event, seq, does } = u.event
        const of = event.of ? `${event.of.seq}.${event.of.index}` : ''
        if (event.kind === 'result' && calls.has(of))
          yield event.status === 'ok' ? { type: 'tool-output-available', toolCallId: of, output: event.output ?? null }
            : { type: 'tool-output-error', toolCallId: of, errorText: event.status ?? 'failed' }
        for (const [index, e] of (does ?? []).entries()) {
          if (e.kind === 'call' && e.phase !== 'simulate') {
            yield* close()
            calls.add(`${seq}.${index}`)
            yield { type: 'tool-input-available', toolCallId: `${seq}.${index}`, toolName: e.tool ?? '', input: e.args ?? {}, dynamic: true, providerExecuted: true }
          } else if (e.kind === 'deny') yield { type: 'data-writ-deny', data: { tool: e.tool, decisions: e.decisions } }
          else if (e.kind === 'say') {
            if (shown !== e.text) yield* close()
            if (!id) yield* open()
            if (shown !== e.text) yield { type: 'text-delta', id, delta: e.text ?? '' }
            yield* close()
          }
        }
      }
    }
    const { reason, totals, code } = await run
    yield* close()
    yield { type: 'finish', finishReason: finishes[reason] ?? 'other', messageMetadata: { run: messageId, reason, code, totals } }
  } catch (e) {
    yield* close()
    yield { type: 'error', errorText: (e as Error)?.message ?? String(e) }
  }
}

interface Message { role: string; parts?: { type: string; text?: string }[] }

/** A `ChatTransport`: `useChat({ transport: writTransport(session) })`. Each message is a run; `thread` makes them one talk. */
export const writTransport = (session: Session, options: RunOptions & { thread?: string; onRun?: (run: Run) => void } = {}) => ({
  sendMessages: async ({ messages, abortSignal }: { messages: Message[]; abortSignal?: AbortSignal | undefined }): Promise<ReadableStream<UIChunk>> => {
    const { onRun, ...rest } = options
    const text = messages.at(-1)?.parts?.map((p) => (p.type === 'text' ? p.text : '')).join('') ?? ''
    const run = session.run(text, { ...rest, ...(abortSignal && { signal: abortSignal }) })
    onRun?.(run)
    const chunks = toUIMessages(run)
    return new ReadableStream<UIChunk>({
      pull: async (to) => {
        const { done, value } = await chunks.next()
        if (done) to.close()
        else to.enqueue(value)
      },
    })
  },
  /** A run goes on without its page; `session.follow` shows it again. */
  reconnectToStream: async (): Promise<null> => null,
})
