// One session is kept in IndexedDB, which can hold its key without showing it to any script.
import type { SavedSession } from '../../sdk/src/index.ts'

const open = (): Promise<IDBDatabase> => new Promise((ok, no) => {
  const r = indexedDB.open('writ', 1)
  r.onupgradeneeded = () => { r.result.createObjectStore('session') }
  r.onsuccess = () => ok(r.result)
  r.onerror = () => no(r.error)
})

const inStore = async <T>(mode: IDBTransactionMode, act: (s: IDBObjectStore) => IDBRequest<T>): Promise<T | undefined> => {
  try {
    const db = await open()
    return await new Promise<T>((ok, no) => {
      const r = act(db.transaction('session', mode).objectStore('session'))
      r.onsuccess = () => { ok(r.result); db.close() }
      r.onerror = () => no(r.error)
    })
  } catch {
    return undefined // a private window may have no store: the session then ends with the page
  }
}

export const keepSession = (s: SavedSession): Promise<unknown> => inStore('readwrite', (st) => st.put(s, 'current'))
export const keptSession = (): Promise<SavedSession | undefined> => inStore('readonly', (st) => st.get('current') as IDBRequest<SavedSession>)
export const forgetSession = (): Promise<unknown> => inStore('readwrite', (st) => st.delete('current'))
