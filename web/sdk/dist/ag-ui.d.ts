/** A run as events of AG-UI 1.0, for pages that are built on it. */
import type { Outcome, Update } from './run.js';
export interface AGUIEvent {
    type: string;
    timestamp?: number;
    [key: string]: unknown;
}
/** What a run gives, in the words of AG-UI: text, tool calls with arguments and results, and the rest as CUSTOM events. */
export declare function toAGUI(run: AsyncIterable<Update> & PromiseLike<Outcome> & {
    started: Promise<string>;
}, threadId?: string): AsyncGenerator<AGUIEvent, void, void>;
