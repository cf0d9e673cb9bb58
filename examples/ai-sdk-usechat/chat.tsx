// A chat with the AI SDK's useChat: its transport is the session's, so each message is a run. What waits for the wallet comes
// as a data part, and session.approvals() has what answers it.
import { useChat } from '@ai-sdk/react'
import type { UIMessage } from 'ai'
import { StrictMode, useMemo, useState } from 'react'
import { createRoot } from 'react-dom/client'
import type { Session } from 'writ-sdk'
import { writTransport, type WritData, type WritMetadata } from 'writ-sdk/ai-sdk'
import { useSession, useWrit } from 'writ-sdk/react'

declare global { interface Window { ethereum?: import('writ-sdk').Wallet } }

const findWallet = async () => window.ethereum ?? (await import('writ-sdk/test')).mockWallet()

type Message = UIMessage<WritMetadata, WritData>

const Approval = ({ session, waits }: { session: Session; waits: WritData['writ-approval'] }) => {
  const [answered, setAnswered] = useState('')
  const answer = async (yes: boolean) => {
    const a = (await session.approvals()).find((x) => x.step === waits.step && x.effect.index === waits.effect.index)
    try {
      await (yes ? a?.approve() : a?.refuse('not now'))
      setAnswered(!a ? 'It does not wait any more.' : yes ? 'Approved.' : 'Refused.')
    } catch (e) {
      setAnswered((e as Error).message)
    }
  }
  return answered ? <span>{answered}</span> : <span>{waits.summary.text}. {waits.findings.map((f) => f.text).join(' ')}
    <button onClick={() => void answer(true)}>Approve</button><button onClick={() => void answer(false)}>Refuse</button></span>
}

const Talk = ({ session }: { session: Session }) => {
  const transport = useMemo(() => writTransport(session), [session])
  const { messages, sendMessage, status, stop, error } = useChat<Message>({ transport })
  const [text, setText] = useState('')
  return (
    <>
      <ul aria-live="polite">
        {messages.flatMap((m) => m.parts.map((p, i) => {
          const key = `${m.id} ${i}`
          if (p.type === 'text') return <li key={key}>{m.role === 'user' ? <b>{p.text}</b> : p.text}</li>
          if (p.type === 'dynamic-tool') return <li key={key}><code>{p.toolName}</code> {p.state}</li>
          if (p.type === 'data-writ-approval') return <li key={key}><Approval session={session} waits={p.data} /></li>
          return null
        }))}
      </ul>
      {error && <p role="alert">{error.message}</p>}
      <form onSubmit={(e) => { e.preventDefault(); void sendMessage({ text }); setText('') }}>
        <input aria-label="Ask" value={text} onChange={(e) => setText(e.currentTarget.value)} />
        {status === 'submitted' || status === 'streaming' ? <button type="button" onClick={() => void stop()}>Stop</button> : <button>Ask</button>}
      </form>
    </>
  )
}

const Chat = ({ server, chain }: { server: string; chain: number }) => {
  const { client } = useWrit(server)
  const { session, signIn, busy, error } = useSession(client)
  return (
    <main>
      <h1>Chat</h1>
      {session ? <><p>{session.info.account} lets {session.info.agent} act.</p><Talk session={session} /></>
        : <p>You are not signed in. <button disabled={!client || busy} onClick={async () => void signIn(await findWallet(), { agent: 'treasurer', chain })}>Sign in</button></p>}
      {error !== undefined && <p role="alert">{(error as Error).message}</p>}
    </main>
  )
}

const settings = (await (await fetch('./writ.json')).json()) as { server: string; chain: number }
createRoot(document.getElementById('page')!).render(<StrictMode><Chat {...settings} /></StrictMode>)
