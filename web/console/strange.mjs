// Says of each text of a JSON list on standard input how the page shows it, for a test that compares it with the command line.
import { build } from 'esbuild'
import { text } from 'node:stream/consumers'

const made = await build({ entryPoints: [new URL('src/strange.ts', import.meta.url).pathname], bundle: true, format: 'esm', write: false })
const { strange } = await import('data:text/javascript;base64,' + Buffer.from(made.outputFiles[0].contents).toString('base64'))
console.log(JSON.stringify(JSON.parse(await text(process.stdin)).map(strange)))
