import type { ComponentChildren, ComponentType } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import type { Tone } from './story.ts'
import { strange } from './strange.ts'
import { said } from './store.ts'

const paths: Record<string, string> = {
  logo: 'M3 4l4 12 4-9 4 9 4-12', check: 'M3 9l3.5 3.5L13 5', x: 'M4 4l8 8M12 4l-8 8', pen: 'M3 13l1-3 7-7 2 2-7 7-3 1z',
  permit: 'M8 2l5 2v4c0 3-2 5-5 6-3-1-5-3-5-6V4z', deny: 'M8 2a6 6 0 100 12A6 6 0 008 2zM4 4l8 8', result: 'M3 8h10M9 4l4 4-4 4',
  route: 'M3 4h4l3 8h3M3 12h3', flag: 'M4 14V3h8l-2 3 2 3H4', sync: 'M3 8a5 5 0 019-3M13 8a5 5 0 01-9 3M12 2v3H9M4 14v-3h3',
  clock: 'M8 2a6 6 0 100 12A6 6 0 008 2zM8 5v3l2 2', talk: 'M2 3h12v8H7l-3 3v-3H2z', runs: 'M3 4h10M3 8h10M3 12h6', key: 'M10 6a3 3 0 11-2 3L3 14',
  wallet: 'M2 5h12v8H2zM2 5l8-3v3M11 9h1', warn: 'M8 3l6 10H2zM8 7v3M8 12v.1', copy: 'M5 5h8v8H5zM3 11V3h8', theme: 'M8 2a6 6 0 100 12zM8 2a6 6 0 010 12',
  clip: 'M12 7l-5 5a2 2 0 01-4-3l6-6a1.500 1.500 0 013 2L6 10',
  down: 'M8 2v8M5 7l3 3 3-3M3 13h10',
}

export const Icon = ({ of }: { of: string }) => (
  <svg class="ic" viewBox="0 0 16 16" aria-hidden="true"><path d={paths[of] ?? paths.x!} /></svg>
)

export const Tag = ({ tone, icon, children }: { tone: Tone; icon: string; children: ComponentChildren }) => (
  <span class={`tag ${tone}`}><Icon of={icon} />{children}</span>
)

/** A CID or address in short, to recognise it; the button copies all of it. */
export const Id = ({ of, what }: { of: string; what: string }) => {
  const [done, setDone] = useState(false)
  if (!of) return null
  const head = of.startsWith('0x') ? of.slice(0, 6) : of.slice(0, 4)
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(of)
      said.value = `Copied ${what}.`
      setDone(true)
      setTimeout(() => setDone(false), 1500)
    } catch { said.value = 'The browser does not let this page copy.' }
  }
  return (
    <code class="id" title={of}><span>{head}…</span>{of.slice(-6)}
      <button class={done ? 'done' : ''} aria-label={`Copy ${what}`} onClick={copy}><Icon of={done ? 'check' : 'copy'} /></button>
    </code>
  )
}

/** An address in full, in groups of four, to compare. Gaps are margins, so that a copy is clean. */
export const Full = ({ of }: { of: string }) => (
  <span class="full">{(of.match(/^0x|.{1,4}/g) ?? []).map((g, i) => <i key={i}>{g}</i>)}</span>
)

/** Text from elsewhere: what cannot be seen, or looks like something else, stands there with its code point. */
export const Strange = ({ of }: { of: string }) => (
  <>{strange(of).map((p, i) => (p.odd ? <span class="u" key={i}>{p.text}</span> : <span key={i}>{p.text}</span>))}</>
)

export const Note = ({ tone, icon, children }: { tone: string; icon: string; children: ComponentChildren }) => (
  <div class={`note ${tone}`} role={tone === 'bad' ? 'alert' : 'status'}><Icon of={icon} /><div>{children}</div></div>
)

/** A page that is loaded when it is opened, whole: the server may go away afterwards. */
export const Later = ({ load, ...props }: { load: () => Promise<ComponentType<any>>; [prop: string]: unknown }) => {
  const [Loaded, setLoaded] = useState<ComponentType<any>>()
  const [failed, setFailed] = useState(false)
  useEffect(() => { load().then((m) => setLoaded(() => m), () => setFailed(true)) }, [])
  if (failed) return <Note tone="warn" icon="warn">This page could not be loaded from the server; load it again when the server is there.</Note>
  return Loaded ? <Loaded {...props} /> : <div class="wait3" role="status" aria-label="Loading"><i /><i /><i /></div>
}

const styles = new Map<string, Promise<unknown>>()
/** Loads a style sheet once. */
export const style = (name: string): Promise<unknown> => {
  if (!styles.has(name)) styles.set(name, new Promise((ok, no) => {
    const l = document.createElement('link')
    Object.assign(l, { rel: 'stylesheet', href: `/console/${name}`, onload: ok, onerror: no })
    document.head.append(l)
  }))
  return styles.get(name)!
}
