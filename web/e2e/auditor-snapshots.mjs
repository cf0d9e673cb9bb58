// Has the auditor as WebAssembly judge a record with snapshots beside it, as a page would. Arguments: the folder that
// web/auditor/build.sh made, the record, its keys, and then the snapshots of each question, a comma between two. Prints what it
// answers to each, as a list, and which of all snapshots and of the record the pages take for snapshots.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { runInThisContext } from 'node:vm'
import { gunzipSync } from 'node:zlib'

const [made, page, car, keys, ...questions] = process.argv.slice(2)
const read = (name) => new Uint8Array(readFileSync(name))
runInThisContext(readFileSync(join(made, 'auditor.js'), 'utf8').split('// The auditor in a worker')[0])
const go = new Go()
const ready = new Promise((ok) => { globalThis.auditReady = ok })
const { instance } = await WebAssembly.instantiate(gunzipSync(readFileSync(join(made, 'auditor.wasm.gz'))), go.importObject)
void go.run(instance)
await ready
const lists = questions.map((q) => q.split(',').filter(Boolean))
const said = lists.map((l) => JSON.parse(globalThis.audit(read(car), readFileSync(keys, 'utf8'), '', l.map(read))))
// How a page tells the files apart is in the example, which is a page's script.
const isSnapshot = eval(/const isSnapshot = (.*)/.exec(readFileSync(page, 'utf8'))[1])
const taken = []
for (const f of [...new Set(lists.flat()), car]) if (await isSnapshot(new Blob([read(f)]))) taken.push(f)
process.stdout.write(JSON.stringify({ said: said.map(({ text, exit }) => ({ text, exit })), taken }), () => process.exit(0))
