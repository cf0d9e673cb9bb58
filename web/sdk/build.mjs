// Builds dist/ from src/: one file an entry, minified, and the types beside it, the same bytes each time. The tests build
// again and compare. The core loads signin.js when it is given a wallet. What is nobody else's business gets short names.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { fileURLToPath } from 'node:url'
import { filesBeside, parts } from './parts.mjs'

const here = (p) => fileURLToPath(new URL(p, import.meta.url))
const outdir = process.argv[2] ?? here('dist')
await build({
  entryPoints: ['index', 'signin', 'react', 'test', 'send', 'attach', 'pay', 'mandate', 'ag-ui', 'ai-sdk'].map((n) => here(`src/${n}.ts`)),
  outdir,
  bundle: true, external: ['./signin.js', './index.js', './pay.js', 'react'], minify: true, format: 'esm', target: 'es2022', legalComments: 'none',
  mangleProps: /^(linkFor|callFor|signerFor|alive|unfollow|hello|ack)$/,
})
const { '@noble/ciphers/chacha.js': _, 'multiformats/bases/base58': __, ...alias } = parts.alias
// What is nobody else's business gets short names here too: none of these is a key of a record or of what a reading says.
const verify = { ...parts, mangleProps: /^(agentCID|rulesCID|requestId|notBefore|reached|payloads|multihash|members|spelled|caveats)$/, bundle: true, minify: true, format: 'esm', target: 'es2022', legalComments: 'none' }
await build({ ...verify, alias, entryPoints: [here('src/verify/whole.ts')], plugins: [filesBeside], outfile: join(outdir, 'verify.js') })
for (const beside of ['log', 'files']) {
  await build({ ...verify, alias, inject: [], entryPoints: [here(`../reader/${beside}.mjs`)], plugins: [filesBeside], outfile: join(outdir, `${beside}.js`) })
}
await build({ ...verify, entryPoints: [here('src/verify/curves.ts')], outfile: join(outdir, 'curves.js') })

// A page's compiler reads these, under settings of its own, in the place of the sources.
const made = mkdtempSync(join(tmpdir(), 'writ-sdk-'))
try {
  execFileSync(process.execPath, [here('node_modules/typescript/bin/tsc'), '-p', here('.'), '--noEmit', 'false', '--declaration',
    '--emitDeclarationOnly', '--rewriteRelativeImportExtensions', '--rootDir', here('../..'), '--outDir', made], { stdio: 'inherit' })
  const types = join(made, 'web/sdk/src')
  for (const name of readdirSync(types).filter((n) => n.endsWith('.d.ts'))) {
    const text = readFileSync(join(types, name), 'utf8').replace(/(from |import\()(['"]\.\/[\w-]+)\.ts(['"])/g, '$1$2.js$3')
    writeFileSync(join(outdir, name), text)
  }
} finally {
  rmSync(made, { recursive: true })
}
