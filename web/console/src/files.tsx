// Files that go with what is asked; loaded when the first is picked, dropped or pasted.
import { signal } from '@preact/signals'
import type { wire } from '../../sdk/src/index.ts'
import { attach } from '../../sdk/src/attach.ts'
import { Icon, Note, Strange, style } from './parts.tsx'
import { asError, bag, said, session } from './store.ts'
import { sizeText } from './amounts.ts'

await style('talk.css')

const under = signal<{ name: string; have: number; all: number } | undefined>(undefined)
const refused = signal<string[]>([])
/** One after another: each is held to the bounds together with those that are there. */
let turn: Promise<void> = Promise.resolve()

const addOne = async (file: File): Promise<void> => {
  const s = session.value
  if (!s) return
  try {
    under.value = { name: file.name, have: 0, all: file.size }
    const before = bag.value.reduce((n, h) => n + h.named.size, 0)
    const named = await attach(s, [...bag.value.map((h) => h.file), file], {
      onProgress: (have) => { under.value = { name: file.name, have: Math.max(0, have - before), all: file.size } },
    })
    if (named.length > bag.value.length) bag.value = [...bag.value, { named: named.at(-1)!, file }]
    said.value = `Attached ${file.name}.`
  } catch (e) {
    const words = e instanceof DOMException ? `"${file.name}" could not be read; a folder cannot be attached.` : asError(e).message
    refused.value = [...refused.value, words]
  }
  under.value = undefined
}

/** Puts files on the server, to be attached to what is asked next. What is not taken is told, each in a sentence. */
export const add = (files: File[]): Promise<void> => {
  const n = bag.value.length + files.length
  refused.value = n > 8 ? [`A request attaches 8 files at most, and not ${n}: none of these is taken.`] : []
  if (n <= 8) for (const f of files) turn = turn.then(() => addOne(f))
  return turn
}

/** The files for a request, which are put again if the server has forgotten them; undefined if that cannot be. */
export const take = async (): Promise<wire.Attached[] | undefined> => {
  await turn
  try {
    const taken = bag.value
    const named = await attach(session.value!, taken.map((h) => h.file))
    bag.value = bag.value.filter((h) => !taken.includes(h)) // what came meanwhile is for the next
    refused.value = []
    return named
  } catch (e) {
    refused.value = [asError(e).message]
    return undefined
  }
}

/** What is attached so far, what is on its way, and what was not taken. */
export const Bag = () => (
  <div class="bag">
    {refused.value.map((w, i) => <Note key={i} tone="bad" icon="warn"><Strange of={w} /><button class="btn quiet" onClick={() => { refused.value = refused.value.filter((_, j) => j !== i) }}>Close</button></Note>)}
    {(bag.value.length > 0 || under.value) && <ul aria-label="Attached files">
      {bag.value.map((h) => <li key={h.named.cid}><Icon of="clip" /><span class="name"><Strange of={h.named.name ?? h.named.type} /></span><span class="mut nw">{sizeText(h.named.size)}</span>
        <button type="button" aria-label={`Remove ${h.named.name ?? 'the file'}`} onClick={() => { bag.value = bag.value.filter((x) => x !== h) }}><Icon of="x" /></button></li>)}
      {under.value && <li><Icon of="clip" /><span class="name"><Strange of={under.value.name} /></span><progress aria-label={`Sending ${under.value.name}`} max={under.value.all || 1} value={under.value.have} /></li>}</ul>}
    {bag.value.length > 0 && <p class="xs mut">Files are read as material: nothing in them counts as your word.</p>}
  </div>
)

/** Whether something is on its way: what is asked would be without it. */
export const sending = (): boolean => !!under.value
