// What the reader of web/reader is built with for a page: in the place of Node's and of libraries, the few of them that it uses.
import { fileURLToPath } from 'node:url'

const here = (p) => fileURLToPath(new URL(p, import.meta.url))
const ipld = here('src/verify/ipld.ts')

export const parts = {
  inject: [here('src/verify/buffer.ts')],
  alias: {
    'node:crypto': here('src/verify/crypto.ts'), '@noble/ciphers/chacha.js': here('src/verify/chacha.ts'),
    '@noble/hashes/sha3.js': here('src/verify/keccak.ts'),
    '@ipld/car': ipld, '@ipld/dag-cbor': ipld, 'multiformats/cid': ipld, 'multiformats/hashes/digest': ipld,
    'multiformats/hashes/sha2': ipld, 'multiformats/bases/base58': here('src/verify/base58.ts'),
  },
  nodePaths: [here('node_modules')],
}

// Leaves what hashes, signatures and sealed payloads take to a file beside it, curves.js, what the log takes to log.js,
// and what attached files take to files.js.
// Requests that were signed as HTTP are left to the command.
export const filesBeside = {
  name: 'files beside',
  setup: (b) => {
    b.onResolve({ filter: /\/(log|files)\.mjs$/ }, ({ kind, path }) => (kind === 'dynamic-import' ? { path: path.replace('.mjs', '.js'), external: true } : undefined))
    b.onResolve({ filter: /\/http\.mjs$/ }, () => ({ path: here('src/verify/http.ts') }))
    b.onResolve({ filter: /\/signed\.mjs$/ }, ({ importer }) => (/\/(log|files)\.mjs$/.test(importer) ? { path: './verify.js', external: true } : undefined))
    b.onResolve({ filter: /\/(k1|points)\.mjs$|^\.\/hash\.ts$|^@noble\/ciphers\/chacha\.js$|^multiformats\/bases\/base58$/ }, ({ importer }) => (/\/(curves|k1)\.ts$/.test(importer) ? undefined : { path: './curves.js', external: true }))
  },
}
