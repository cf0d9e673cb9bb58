// The auditor, which is Go: wasm_exec.js is Go's own, and auditor.wasm is built by run.sh.
importScripts('wasm_exec.js')

const begin = async () => {
  const go = new Go()
  const ready = new Promise((ok) => { self.auditReady = ok })
  const { instance } = await WebAssembly.instantiateStreaming(fetch('auditor.wasm'), go.importObject)
  void go.run(instance)
  await ready
}

const begun = begin()
self.onmessage = async ({ data: { car, keys, operator } }) => {
  try {
    await begun
    self.postMessage(JSON.parse(self.audit(car, keys, operator)))
  } catch (e) {
    self.postMessage({ error: `The auditor could not be loaded: ${e.message}` })
  }
}
