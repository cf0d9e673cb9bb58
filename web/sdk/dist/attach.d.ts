import type { Session } from './session.js';
import type { Attached } from './wire.js';
/** A File or Blob of the browser, bytes, or a text; with a `name` it is called by that, and a `type` goes before what the name says. */
export type Attachable = Blob | Uint8Array | string | {
    data: Blob | Uint8Array | string;
    name?: string;
    type?: string;
};
export interface AttachOptions {
    /** Told how many bytes of all the files the server has, first and after each piece. */
    onProgress?: (have: number, all: number) => void;
    /** Stops between two pieces. What is there already stays for 15 minutes, and is not sent again. */
    signal?: AbortSignal;
}
/**
 * Puts files on the server and returns what a request names them by: `session.run(text, { attach: await attach(session, [file]) })`.
 * At most 8 and 8 MiB: images of 4 MiB, texts of 256 KiB. Whatever is not taken is a WritError of `invalid_params` whose
 * message says which and why, before anything is sent. The server keeps a file for an hour after it was last attached.
 */
export declare const attach: (session: Session, files: Attachable[], { onProgress, signal }?: AttachOptions) => Promise<Attached[]>;
