// The auditor in a worker: build.sh puts Go's own wasm_exec.js before this, and auditor.wasm.gz beside it.
const begin = async () => {
  const go = new Go()
  const ready = new Promise((ok) => { self.auditReady = ok })
  const packed = await fetch(new URL('auditor.wasm.gz', self.location))
  if (!packed.ok) throw new Error(`the server answers ${packed.status}`)
  const plain = packed.body.pipeThrough(new DecompressionStream('gzip'))
  const { instance } = await WebAssembly.instantiateStreaming(new Response(plain, { headers: { 'content-type': 'application/wasm' } }), go.importObject)
  void go.run(instance)
  await ready
}

const begun = begin()
self.onmessage = async ({ data: { car, keys, operator, snapshots = [] } }) => {
  try {
    await begun
  } catch (e) {
    self.postMessage({ unloaded: `The auditor could not be loaded: ${e.message}.` })
    return
  }
  try {
    self.postMessage(JSON.parse(self.audit(car, keys, operator, snapshots)))
  } catch (e) {
    self.postMessage({ unloaded: `The auditor stopped: ${e.message}.` }) // the next question begins a new one
  }
}
