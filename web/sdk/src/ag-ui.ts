/** A run as events of AG-UI 1.0, for pages that are built on it. */
import type { Outcome, Update } from './run.ts'

export interface AGUIEvent { type: string; timestamp?: number; [key: string]: unknown }

/** What a run gives, in the words of AG-UI: text, tool calls with arguments and results, and the rest as CUSTOM events. */
export async function* toAGUI(
  run: AsyncIterable<Update> & PromiseLike<Outcome> & { started: Promise<string> }, threadId = 'default',
): AsyncGenerator<AGUIEvent, void, void> {
  const runId = await run.started
  yield { type: 'RUN_STARTED', threadId, runId }
  let message: string | undefined
  let shown = '' // of the message that is open
  let count = 0
  const calls = new Set<string>()
  const start = function* (): Generator<AGUIEvent> {
    message = `${runId}/m${count++}`
    shown = ''
    yield { type: 'TEXT_MESSAGE_START', messageId: message, role: 'assistant' }
  }
  const end = function* (): Generator<AGUIEvent> {
    if (message) yield { type: 'TEXT_MESSAGE_END', messageId: message }
    message = undefined
  }
  try {
    for await (const u of run) {
      if (u.kind === 'delta' && u.text) {
        if (!message) yield* start()
        shown += u.text
        yield { type: 'TEXT_MESSAGE_CONTENT', messageId: message!, delta: u.text }
      } else if (u.kind === 'approval') {
        const { run, effect, summary, until } = u.approval
        yield { type: 'CUSTOM', name: 'writ.approval', value: { run, effect, summary, until } }
      } else if (u.kind === 'event') {
        const { event, seq, at } = u.event
        const toolCallId = `${runId}/${event.of?.seq}.${event.of?.index}`
        if (event.kind === 'result' && calls.has(toolCallId))
          yield { type: 'TOOL_CALL_RESULT', messageId: `${toolCallId}/result`, toolCallId, role: 'tool', content: JSON.stringify(event.output ?? event.status), timestamp: at }
        for (const [index, e] of (u.event.does ?? []).entries()) {
          if (e.kind === 'call' && e.phase !== 'simulate') {
            yield* end()
            const toolCallId = `${runId}/${seq}.${index}`
            calls.add(toolCallId)
            yield { type: 'TOOL_CALL_START', toolCallId, toolCallName: e.tool ?? '', timestamp: at }
            yield { type: 'TOOL_CALL_ARGS', toolCallId, delta: JSON.stringify(e.args ?? {}) }
            yield { type: 'TOOL_CALL_END', toolCallId }
          } else if (e.kind === 'say') {
            if (shown !== e.text) yield* end() // what was shown is not what was decided: the answer stands by itself
            if (!message) yield* start()
            if (shown !== e.text) yield { type: 'TEXT_MESSAGE_CONTENT', messageId: message!, delta: e.text ?? '' }
            yield* end()
          } else if (e.kind === 'deny') yield { type: 'CUSTOM', name: 'writ.deny', value: { tool: e.tool, decisions: e.decisions }, timestamp: at }
        }
      }
    }
    const { reason, text, totals } = await run
    yield* end()
    if (['answered', 'denied'].includes(reason)) yield { type: 'RUN_FINISHED', threadId, runId, result: { reason, text, totals } }
    else yield { type: 'RUN_ERROR', message: `The run ended as ${reason}.`, code: reason }
  } catch (e) {
    yield* end()
    yield { type: 'RUN_ERROR', message: (e as Error)?.message ?? String(e), code: (e as { code?: string }).code ?? 'internal' }
  }
}
