// Builds the page into a folder, with React and esbuild from web/sdk; of another example if its folder comes first. A dApp has
// a build of its own, and `writ-sdk` among its packages.
import { copyFileSync, mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const here = (p) => fileURLToPath(new URL(p, import.meta.url))
const sdk = here('../../web/sdk')
const { buildSync } = createRequire(`${sdk}/package.json`)('esbuild')
const out = process.argv.at(-1)
const source = process.argv.length > 3 ? process.argv[2] : here('.')
mkdirSync(out, { recursive: true })
buildSync({
  entryPoints: [`${source}/chat.tsx`], outfile: `${out}/chat.js`, bundle: true, minify: true, format: 'esm', target: 'es2022', jsx: 'automatic',
  nodePaths: [`${sdk}/node_modules`], define: { 'process.env.NODE_ENV': '"production"' },
  alias: Object.fromEntries(['react', 'test', 'ai-sdk', ''].map((n) => [n ? `writ-sdk/${n}` : 'writ-sdk', `${sdk}/dist/${n || 'index'}.js`])),
})
copyFileSync(`${source}/index.html`, `${out}/index.html`)
