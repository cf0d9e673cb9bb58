// Hands the chosen files to the auditor, which runs in a worker of its own and is loaded when it is first asked.
const state = document.querySelector('#state')
let worker
let answer

const ask = (question) => new Promise((ok, no) => {
  if (!worker) {
    worker = new Worker('auditor.js')
    worker.onmessage = (m) => answer(m.data)
  }
  worker.onerror = (e) => no(new Error(e.message || 'the auditor could not be loaded'))
  answer = ok
  worker.postMessage(question)
})

// Whether a file begins as a CAR file of passages, whose root is raw bytes, and not as one of a record.
const isSnapshot = async (f) => [...new Uint8Array(await f.slice(0, 64).arrayBuffer())].join().includes(',1,85,18,32,')
const bytes = async (f) => new Uint8Array(await f.arrayBuffer())

const check = document.querySelector('#check')
check.onclick = async () => {
  state.textContent = 'Checking …'
  document.querySelector('#report').textContent = ''
  check.disabled = true // one file at a time
  try { await audit() } finally { check.disabled = false }
}

async function audit () {
  const files = [...document.querySelector('#files').files]
  let car
  const snapshots = []
  for (const f of files.filter((f) => !f.name.endsWith('.json'))) {
    if (await isSnapshot(f)) snapshots.push(await bytes(f))
    else car = f
  }
  const keys = files.find((f) => f.name.endsWith('.json'))
  if (!car) { state.textContent = 'Choose a record first.'; return }
  try {
    const found = await ask({ snapshots, car: await bytes(car), keys: keys ? await keys.text() : '', operator: document.querySelector('#operator').value.trim() })
    state.textContent = found.unloaded ?? found.error ?? `Done; writ-audit would end with ${found.exit}.`
    document.querySelector('#report').textContent = found.text ?? ''
  } catch (e) {
    state.textContent = e.message
  }
}
