/** What verify.js is made of: what pages use, and what log.js and files.js, which are loaded beside it, take from here. */
export { verify } from '../verify.ts'
// @ts-expect-error it is plain JavaScript
export { ed25519Verify, same, sha256, want } from '../../../reader/signed.mjs'
