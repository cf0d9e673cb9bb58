// The auditor itself, which is Go as WebAssembly, in a worker: loaded when it is first asked, and then it needs no server.

/** What the auditor says: what `writ-audit verify` prints, word for word, and how it would end. Or why it says nothing. */
export interface Audited { text?: string; exit?: number; error?: string; unloaded?: string }

let worker: Worker | undefined

/** Under Trusted Types a worker is only begun from an address that a policy made; this one makes that of the auditor alone. */
const address = (): string => {
  const url = new URL('auditor.js', import.meta.url).href
  const types = (window as { trustedTypes?: { createPolicy(name: string, rules: object): { createScriptURL(s: string): string } } }).trustedTypes
  return policy ??= types?.createPolicy('auditor', { createScriptURL: () => url }).createScriptURL('') ?? url
}
let policy: string | undefined

/** Whether a file begins as a CAR file of passages, whose root is raw bytes, and not as one of a record. */
export const isSnapshot = async (f: File): Promise<boolean> =>
  [...new Uint8Array(await f.slice(0, 64).arrayBuffer())].join().includes(',1,85,18,32,')

/** Has a record audited: its decisions made again, and its searches by the snapshots, as the command does it. One at a time. */
export const audit = (car: Uint8Array, keys: string, operator: string, snapshots: Uint8Array[] = []): Promise<Audited> => new Promise((ok) => {
  const w = (worker ??= new Worker(address()))
  const end = (a: Audited): void => {
    if (a.unloaded) {
      w.terminate()
      worker = undefined
    }
    ok(a)
  }
  w.onmessage = (m: MessageEvent<Audited>) => end(m.data)
  w.onerror = () => end({ unloaded: 'The auditor could not be loaded: this server is gone, or was built without it.' })
  w.postMessage({ car, keys, operator, snapshots }, [car.buffer, ...snapshots.map((s) => s.buffer)])
})
