// Builds dist/ from src/: one file an entry, minified, the same bytes each time. The tests build again and compare. The
// core loads signin.js when it is given a wallet. What is nobody else's business gets short names.
import { build } from 'esbuild'
import { fileURLToPath } from 'node:url'

const here = (p) => fileURLToPath(new URL(p, import.meta.url))
await build({
  entryPoints: ['index', 'signin', 'react', 'test', 'send', 'ag-ui', 'ai-sdk'].map((n) => here(`src/${n}.ts`)),
  outdir: process.argv[2] ?? here('dist'),
  bundle: true, external: ['./signin.js', './index.js', 'react'], minify: true, format: 'esm', target: 'es2022', legalComments: 'none',
  mangleProps: /^(linkFor|callFor|signerFor|alive|unfollow|hello|ack)$/,
})
