// Has the auditor as WebAssembly judge the tampering vectors, as a page would. Arguments: the folder that web/auditor/build.sh
// made, and that of the vectors. Prints what it answers to each, as a list.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { runInThisContext } from 'node:vm'
import { gunzipSync } from 'node:zlib'

const [made, folder] = process.argv.slice(2)
const read = (name) => readFileSync(join(folder, name))
// The worker begins with Go's wasm_exec.js; what follows it is for a worker.
runInThisContext(readFileSync(join(made, 'auditor.js'), 'utf8').split('// The auditor in a worker')[0])
const go = new Go()
const ready = new Promise((ok) => { globalThis.auditReady = ok })
const { instance } = await WebAssembly.instantiate(gunzipSync(readFileSync(join(made, 'auditor.wasm.gz'))), go.importObject)
void go.run(instance)
await ready
const { operator_key, vectors } = JSON.parse(read('vectors.json'))
const said = vectors.map((v) => JSON.parse(globalThis.audit(new Uint8Array(read(v.file)), v.keys ? read(v.keys).toString() : '', operator_key)))
process.stdout.write(JSON.stringify(said.map(({ text, exit, error }) => ({ text, exit, error }))), () => process.exit(0))
