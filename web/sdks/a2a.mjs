// The official SDK of the Agent2Agent protocol, unmodified, speaks to an agent of a server over both of its bindings.
// Prints one JSON object.
//
//   WRIT_KEY=$KEY node a2a.mjs http://127.0.0.1:8420
import { ClientFactory, JsonRpcTransportFactory, RestTransportFactory } from '@a2a-js/sdk/client'
import { Role, TaskState, verifyAgentCardSignature } from '@a2a-js/sdk'

console.debug = () => {} // the SDK tells of signatures there
const server = process.argv[2]
const pause = (ms) => new Promise((ok) => setTimeout(ok, ms))
const keyed = async (url, init = {}) => { // shows the key; a limit of requests is waited for
  const headers = { ...Object.fromEntries(new Headers(init.headers)), authorization: `Bearer ${process.env.WRIT_KEY}` }
  let response = await fetch(url, { ...init, headers })
  for (let tries = 0; response.status === 429 && tries < 60; tries++) {
    await pause(1000)
    response = await fetch(url, { ...init, headers })
  }
  return response
}
const asked = (text, more = {}) => ({
  tenant: '', metadata: {}, configuration: undefined,
  message: {
    messageId: crypto.randomUUID(), contextId: '', taskId: '', role: Role.ROLE_USER, metadata: {}, extensions: [],
    referenceTaskIds: [], parts: [{ content: { $case: 'text', value: text }, metadata: {}, filename: '', mediaType: '' }], ...more,
  },
})
const said = (parts) => parts.map((p) => p.content.value).join('')
const code = async (call) => { try { await call() } catch (e) { return e.constructor.name } return 'accepted' }

// The card is signed by the key that auditors pin; one that was changed under way is not.
const key = async (kid, jku) => (await (await fetch(jku)).json()).keys.find((k) => k.kid === kid)
const card = await (await fetch(`${server}/.well-known/agent-card.json`)).json() // as served: of one that it has parsed
// the SDK forgets the security schemes, and finds no signature good
const out = { skills: card.skills.map((s) => s.id), signed: false, forged: true, over: {} }
await verifyAgentCardSignature(key)(card)
out.signed = true
try { await verifyAgentCardSignature(key)({ ...card, name: 'another' }) } catch { out.forged = false }

for (const transport of [new JsonRpcTransportFactory({ fetchImpl: keyed }), new RestTransportFactory({ fetchImpl: keyed })]) {
  const client = await new ClientFactory({ transports: [transport], preferredTransports: [transport.protocolName] }).createFromUrl(server)
  const o = out.over[transport.protocolName] = {}

  const first = await client.sendMessage(asked('What is the USDC balance of alice?'))
  o.answer = said(first.artifacts[0].parts)
  o.state = TaskState[first.status.state]
  const { contextId } = first
  o.again = (await client.getTask({ tenant: '', id: first.id })).status.state === first.status.state
  const next = await client.sendMessage(asked('What is the USDC balance of bob?', { contextId }))
  o.sameContext = next.contextId === contextId && next.id !== first.id
  const listed = await client.listTasks({ tenant: '', contextId, status: 0, pageSize: 1, pageToken: '' })
  o.listed = [listed.tasks.length, listed.totalSize, listed.tasks[0].id === next.id, listed.nextPageToken !== '']
  const rest = await client.listTasks({ tenant: '', contextId, status: 0, pageSize: 1, pageToken: listed.nextPageToken })
  o.rest = [rest.tasks[0].id === first.id, rest.nextPageToken]

  // A payment waits for the wallet. The stream stays open, and ends when the task is cancelled from elsewhere.
  o.stream = []
  for await (const e of client.sendMessageStream(asked('send 5 USDC to bob'))) {
    const { $case, value } = e.payload
    o.stream.push($case === 'task' ? 'task' : $case === 'statusUpdate' ? TaskState[value.status.state] : $case)
    if ($case === 'statusUpdate' && value.status.state === TaskState.TASK_STATE_AUTH_REQUIRED) {
      o.waits = said(value.status.message.parts)
      o.cancelled = TaskState[(await client.cancelTask({ tenant: '', id: value.taskId, metadata: {} })).status.state]
      o.twice = await code(() => client.cancelTask({ tenant: '', id: value.taskId, metadata: {} }))
    }
  }
  o.ended = await code(() => client.sendMessage(asked('and again', { taskId: first.id })))
  o.unknown = await code(() => client.getTask({ tenant: '', id: 'nothing' }))
  const file = { content: { $case: 'url', value: 'https://example.org/a.png' }, metadata: {}, filename: '', mediaType: 'image/png' }
  o.file = await code(() => client.sendMessage(asked('', { parts: [file] })))
  o.run = first.id
}
process.stdout.write(JSON.stringify(out) + '\n')
process.exit(0)
