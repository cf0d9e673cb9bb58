// What the reader of web/reader is built with for a page: in the place of Node's and of libraries, the few of them that it uses.
import { fileURLToPath } from 'node:url'

const here = (p) => fileURLToPath(new URL(p, import.meta.url))
const ipld = here('src/verify/ipld.ts')

export const parts = {
  inject: [here('src/verify/buffer.ts')],
  alias: {
    'node:crypto': here('src/verify/crypto.ts'), '@noble/ciphers/chacha.js': here('src/verify/chacha.ts'),
    '@ipld/car': ipld, '@ipld/dag-cbor': ipld, 'multiformats/cid': ipld, 'multiformats/hashes/digest': ipld,
    'multiformats/hashes/sha2': ipld, 'multiformats/bases/base58': ipld,
  },
  nodePaths: [here('node_modules')],
}

// Leaves what hashes, signatures and sealed payloads take to a file beside it, curves.js.
export const curvesBeside = {
  name: 'curves',
  setup: (b) => { b.onResolve({ filter: /\/(k1|points)\.mjs$|^\.\/hash\.ts$|^@noble\/ciphers\/chacha\.js$/ }, ({ importer }) => (importer.endsWith('curves.ts') ? undefined : { path: './curves.js', external: true })) },
}
