// Builds the page into a folder. What it is built of comes from this folder's own packages, and the SDK from beside the page.
import { copyFileSync, mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const here = (p) => fileURLToPath(new URL(p, import.meta.url))
const out = process.argv[2] ?? here('dist')
mkdirSync(out, { recursive: true })
await build({
  entryPoints: [here('page.js')], outdir: out, chunkNames: 'parts/[name]-[hash]', splitting: true, bundle: true, minify: true, format: 'esm', target: 'es2022',
  alias: { 'writ-sdk': here('../../web/sdk/dist/index.js') }, define: { 'process.env.NODE_ENV': '"production"', global: 'globalThis', PROJECT: JSON.stringify(process.env.PROJECT ?? '') }, logLevel: 'error',
})
copyFileSync(here('index.html'), out + '/index.html')
