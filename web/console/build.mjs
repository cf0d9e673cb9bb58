// Builds the page into the Go package that serves it. The tests build again and compare. What checks a file is loaded when
// it is asked for: it is /verify of the SDK, which is the second reader.
import { build } from 'esbuild'
import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parts } from '../sdk/parts.mjs'

const here = (p) => fileURLToPath(new URL(p, import.meta.url))
// Without these, other versions of libraries would be found, and other bytes made.
for (const name of ['reader', 'sdk']) if (!existsSync(here(`../${name}/node_modules`))) throw new Error(`run npm ci in web/${name} first`)
const out = process.argv[2] ?? here('../../internal/console/dist')
rmSync(out, { recursive: true, force: true })
mkdirSync(out, { recursive: true })
await build({
  entryPoints: [here('src/main.tsx'), here('src/style.css'), here('src/back.css'), here('src/talk.css')],
  outdir: out, entryNames: '[name]', chunkNames: '[name]-[hash]', splitting: true,
  bundle: true, minify: true, format: 'esm', target: 'es2022', legalComments: 'none',
  jsx: 'automatic', jsxImportSource: 'preact',
  alias: parts.alias, inject: parts.inject, nodePaths: [here('node_modules'), ...parts.nodePaths],
  define: { 'process.env.NODE_ENV': '"production"' },
})
copyFileSync(here('src/index.html'), out + '/index.html')
