/** A run as the UI message stream of the AI SDK, and a transport for its `useChat`. */
import type { Outcome, Run, RunOptions, Update, WaitingApproval } from './run.js';
import type { Session } from './session.js';
import type { Decision, Totals } from './wire.js';
/** What a message's metadata says at the end: `useChat<UIMessage<WritMetadata, WritData>>`. */
export interface WritMetadata {
    run: string;
    reason: string;
    code: string | undefined;
    totals: Totals | undefined;
}
/** The data parts of a message, of the types `data-writ-approval` and `data-writ-deny`. */
export type WritData = {
    'writ-approval': Pick<WaitingApproval, 'run' | 'effect' | 'step' | 'summary' | 'until' | 'findings'>;
    'writ-deny': {
        tool: string | undefined;
        decisions: Decision[] | undefined;
    };
};
/** A chunk of a UI message stream. */
export type UIChunk = {
    type: 'start';
    messageId: string;
} | {
    type: 'text-start';
    id: string;
} | {
    type: 'text-delta';
    id: string;
    delta: string;
} | {
    type: 'text-end';
    id: string;
} | {
    type: 'tool-input-available';
    toolCallId: string;
    toolName: string;
    input: unknown;
    dynamic: true;
    providerExecuted: true;
} | {
    type: 'tool-output-available';
    toolCallId: string;
    output: unknown;
} | {
    type: 'tool-output-error';
    toolCallId: string;
    errorText: string;
} | {
    type: 'data-writ-approval';
    id: string;
    data: WritData['writ-approval'];
} | {
    type: 'data-writ-deny';
    data: WritData['writ-deny'];
} | {
    type: 'finish';
    finishReason: 'stop' | 'length' | 'content-filter' | 'other';
    messageMetadata: WritMetadata;
} | {
    type: 'error';
    errorText: string;
};
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
