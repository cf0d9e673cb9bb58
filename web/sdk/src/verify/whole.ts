/** What verify.js is made of: what pages use, and what log.js, which is loaded beside it, takes from here. */
export { verify } from '../verify.ts'
// @ts-expect-error it is plain JavaScript
export { ed25519Verify, same, sha256, want } from '../../../reader/signed.mjs'
