// Builds dist/ from src/: one file an entry, minified, the same bytes each time. The tests build again and compare.
import { build } from 'esbuild'
import { fileURLToPath } from 'node:url'

const here = (p) => fileURLToPath(new URL(p, import.meta.url))
await build({
  entryPoints: ['index', 'test', 'ag-ui', 'ai-sdk'].map((n) => here(`src/${n}.ts`)),
  outdir: process.argv[2] ?? here('dist'),
  bundle: true, minify: true, format: 'esm', target: 'es2022', legalComments: 'none',
})
