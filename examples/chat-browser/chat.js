// A chat with an agent, in plain JavaScript: sign in with the browser's wallet, ask, see the text as it comes, approve.
import { connect } from './writ-sdk/index.js'

const { server, chain } = await (await fetch('./writ.json')).json()
const client = await connect(server)
const talk = document.querySelector('#talk')
const form = document.querySelector('form')

const say = (text, className = '') => {
  const item = document.createElement('li')
  item.textContent = text // and never innerHTML: what a model says is a stranger's text
  item.className = className
  talk.append(item)
  return item
}

/** The browser's wallet, or one of this page alone, so that the example can be tried without. */
const findWallet = async () => window.ethereum ?? (await import('./writ-sdk/test.js')).mockWallet()

let session
document.querySelector('#sign').onclick = async () => {
  try {
    session = await client.signIn(await findWallet(), {
      agent: 'treasurer', chain,
      limits: { max_total: [{ asset: 'USDC', decimals: 6, units: '10000000' }] }, // narrower than the agent's own
    })
    document.querySelector('#who').textContent = `${session.info.account} lets ${session.info.agent} spend at most 10 USDC.`
    form.hidden = false
  } catch (e) {
    say(`${e.message} ${e.hint ?? ''}`)
  }
}

/** One call that waits: what moves, what to look at, and two buttons. */
const showApproval = (a) => {
  const item = say(`${a.summary?.text ?? 'A call'}. ${a.findings.map((f) => f.text).join(' ')} `)
  for (const [word, act] of [['Approve', () => a.approve()], ['Refuse', () => a.refuse('not now')]]) {
    const button = document.createElement('button')
    button.textContent = word
    button.onclick = () => act().then(() => item.remove(), (e) => say(e.message))
    item.append(button)
  }
}

form.onsubmit = async (event) => {
  event.preventDefault()
  const field = form.querySelector('input')
  say(field.value, 'ask')
  const run = session.run(field.value)
  field.value = ''
  const answer = say('…')
  try {
    let draft = ''
    for await (const u of run) {
      if (u.kind === 'delta') answer.textContent = draft += u.text
      if (u.kind === 'event') draft = '' // what was shown is replaced by what stands
      if (u.kind === 'approval') showApproval(u.approval)
    }
    const { text, reason } = await run
    answer.textContent = text || reason
  } catch (e) {
    answer.textContent = `${e.message} ${e.hint ?? ''}`
  }
}
