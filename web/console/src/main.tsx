import { render, type ComponentType } from 'preact'
import { Connect } from './connect.tsx'
import { Icon, Id, Later, Note, style } from './parts.tsx'
import { payments } from './payments.ts'
import { asking, connection, page, pending, problem, said, session, start } from './store.ts'
import { findWallets } from './wallets.ts'

const themes = ['system', 'light', 'dark']
const setTheme = (t: string): void => {
  document.documentElement.dataset.theme = t
  try { localStorage.setItem('theme', t) } catch { /* a private window */ }
}
const nextTheme = (): void => {
  const t = themes[(themes.indexOf(document.documentElement.dataset.theme ?? 'system') + 1) % themes.length]!
  setTheme(t)
  said.value = `Colours: ${t}.`
}

const pages: [string, string, string][] = [['talk', 'Conversation', 'talk'], ['approvals', 'Waiting', 'pen'], ['runs', 'Runs', 'runs'], ['sessions', 'Sessions', 'key'], ['check', 'Check', 'permit']]

/** Whether this tab has opened the operations page with a pass. */
const isOperator = (): boolean => { try { return !!sessionStorage.getItem('pass') } catch { return false } }

const waiting = () => import('./approve.tsx').then((m) => m.Waiting)
const check = () => import('./check.tsx').then((m) => m.Check)
const talk = () => import('./talk.tsx').then((m) => m.Talk)
const ops = async () => { await style('back.css'); return (await import('./ops.tsx')).Ops }
const back = (name: 'Runs' | 'RunPage' | 'Compare' | 'SessionsPage') => async () => { await style('back.css'); return (await import('./back.tsx'))[name] as ComponentType<any> }

const Page = () => {
  const [name, rest] = page.value.split('/')
  switch (name) {
    case 'approvals': return <Later key={name} load={waiting} />
    case 'runs': return <Later key={name} load={back('Runs')} />
    case 'run': return <Later key={rest!} load={back('RunPage')} cid={rest ?? ''} />
    case 'compare': return <Later key={page.value} load={back('Compare')} ids={page.value.split('/').slice(1)} />
    case 'sessions': return <Later key={name} load={back('SessionsPage')} />
    case 'check': return <Later key={name} load={check} />
    case 'ops': return <Later key={name} load={ops} />
    default: return <Later key="talk" load={talk} />
  }
}

const words: Record<string, string> = { open: 'Connected', connecting: 'Connecting', lost: 'Connecting again; your runs go on without it', closed: 'Not connected' }

const App = () => {
  const s = session.value
  const here = page.value.split('/')[0]
  const count = pending.value.length + payments.value.length + asking.value.length
  return (
    <><a class="skip" href="#main" onClick={(e) => { e.preventDefault(); document.getElementById('main')?.focus() }}>Skip to content</a>
      <div class="vh" role="status" aria-live="polite">{said.value}</div>
      <div class={s ? 'app' : ''}>
        {s ? <header class="side"><a class="brand" href="#talk"><Icon of="logo" />writ</a>
          <nav class="nav" aria-label="Pages"><ul>{[...pages, ...(isOperator() || here === 'ops' ? [['ops', 'Operations', 'route']] : [])].map(([id, title, icon]) => <li key={id}><a href={`#${id}`} {...(here === id || (id === 'runs' && (here === 'run' || here === 'compare')) ? { 'aria-current': 'page' as const } : {})}><Icon of={icon!} />{title}{id === 'approvals' && count > 0 && <span class="n">{count}</span>}</a></li>)}</ul></nav>
          <div class="foot"><div class="row"><span class={`live ${connection.value === 'open' ? '' : 'off'}`}>{words[connection.value]}</span><button class="btn quiet" aria-label="Light, dark or as the system has it" onClick={nextTheme}><Icon of="theme" /></button></div>
            <div class="row"><Id of={s.info.account} what="your address" /><a class="docs" href="/docs/">Docs</a></div></div></header>
          : <header class="top"><span class="brand"><Icon of="logo" />writ</span><a class="sm" href={here === 'check' ? '#talk' : '#check'}>{here === 'check' ? 'Connect a wallet' : 'Check a record'}</a><a class="sm" href="/docs/">Docs</a><span class="sm mut host">{location.host}</span><button class="btn quiet" aria-label="Light, dark or as the system has it" onClick={nextTheme}><Icon of="theme" /></button></header>}
        <main id="main" tabIndex={-1}>
          {connection.value === 'lost' && <Note tone="warn" icon="sync"><b>The connection was lost.</b> Your runs go on without it; this page connects again and misses nothing.</Note>}
          {problem.value && <Note tone="bad" icon="warn"><b>{problem.value.message}</b> {problem.value.hint} <a href={problem.value.docs}>What this means</a> <button class="btn quiet" onClick={() => { problem.value = undefined }}>Close</button></Note>}
          {s ? <Page /> : here === 'check' || here === 'ops' ? <div class={here === 'ops' ? '' : 'plain'}><Later key={here} load={here === 'ops' ? ops : check} /></div> : <Connect />}</main></div></>
  )
}

try { setTheme(localStorage.getItem('theme') ?? 'system') } catch { setTheme('system') }
findWallets()
render(<App />, document.getElementById('app')!)
void start()
