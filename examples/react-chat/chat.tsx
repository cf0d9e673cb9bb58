// The same chat as in examples/chat-browser, in React: the hooks keep the connection, the session and the run.
import { StrictMode, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { useRun, useSession, useWrit } from 'writ-sdk/react'

declare global { interface Window { ethereum?: import('writ-sdk').Wallet } }

const findWallet = async () => window.ethereum ?? (await import('writ-sdk/test')).mockWallet()

const Chat = ({ server, chain }: { server: string; chain: number }) => {
  const { client, state } = useWrit(server)
  const { session, signIn, busy: signing, error } = useSession(client)
  const run = useRun(session)
  const [asked, setAsked] = useState<string[]>([])
  const [text, setText] = useState('')
  const fault = (error ?? run.error) as Error | undefined
  return (
    <main>
      <h1>Chat</h1>
      {state === 'lost' && <p role="status">The connection was lost; runs go on without it.</p>}
      {session ? <p>{session.info.account} lets {session.info.agent} act.</p>
        : <p>You are not signed in. <button disabled={!client || signing} onClick={async () => void signIn(await findWallet(), { agent: 'treasurer', chain })}>Sign in</button></p>}
      {fault && <p role="alert">{fault.message}</p>}
      <ul aria-live="polite">
        {asked.map((q, i) => <li key={i}><b>{q}</b></li>)}
        {asked.length > 0 && <li>{run.text || run.outcome?.reason || '…'}</li>}
        {run.approvals.map((a) => (
          <li key={a.step}>{a.summary.text}. {a.findings.map((f) => f.text).join(' ')}
            <button onClick={() => void a.approve()}>Approve</button><button onClick={() => void a.refuse('not now')}>Refuse</button></li>
        ))}
      </ul>
      {session && <form onSubmit={(e) => { e.preventDefault(); setAsked([...asked, text]); void run.ask(text); setText('') }}>
        <input aria-label="Ask" value={text} onChange={(e) => setText(e.currentTarget.value)} />
        {run.busy ? <button type="button" onClick={() => void run.stop()}>Stop</button> : <button>Ask</button>}</form>}
    </main>
  )
}

const settings = (await (await fetch('./writ.json')).json()) as { server: string; chain: number }
createRoot(document.getElementById('page')!).render(<StrictMode><Chat {...settings} /></StrictMode>)
