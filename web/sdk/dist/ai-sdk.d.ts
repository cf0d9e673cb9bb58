/** A run as the UI message stream of the AI SDK, and a transport for its `useChat`. */
import type { Outcome, Run, RunOptions, Update } from './run.js';
import type { Session } from './session.js';
/** A chunk of a UI message stream. */
export interface UIChunk {
    type: string;
    [key: string]: unknown;
}
/**
 * What a run gives, in the words of the AI SDK: text, tool calls with their inputs and outputs, and as data parts what it
 * has no words for: `data-writ-approval`, a call that waits for the wallet, and `data-writ-deny`, one that a rule stopped.
 * What was shown and is not what was decided stays, and the answer follows as a text of its own.
 */
export declare function toUIMessages(run: AsyncIterable<Update> & PromiseLike<Outcome> & {
    started: Promise<string>;
}): AsyncGenerator<UIChunk, void, void>;
interface Message {
    role: string;
    parts?: {
        type: string;
        text?: string;
    }[];
}
/** A `ChatTransport`: `useChat({ transport: writTransport(session) })`. Each message is a run; `thread` makes them one talk. */
export declare const writTransport: (session: Session, options?: RunOptions & {
    thread?: string;
    onRun?: (run: Run) => void;
}) => {
    sendMessages: ({ messages, abortSignal }: {
        messages: Message[];
        abortSignal?: AbortSignal | undefined;
    }) => Promise<ReadableStream<UIChunk>>;
    /** A run goes on without its page; `session.follow` shows it again. */
    reconnectToStream: () => Promise<null>;
};
export {};
