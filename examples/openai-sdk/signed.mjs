// The official SDKs of OpenAI and Anthropic for Node, unmodified, with a fetch that signs each request as ERC-8128 has it: the
// server is shown no secret. Prints one JSON object.
//
//   writ key new --ethereum --json > key.json
//   npm install --no-save openai @anthropic-ai/sdk viem
//   node signed.mjs http://127.0.0.1:8420 key.json treasurer
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { privateKeyToAccount } from 'viem/accounts'

// signedFetch returns a fetch that signs requests with the key of a session, in the place of the API key that SDKs show. It puts
// chance into each body: its digest stands in a public record, by which nobody shall guess what was asked.
export function signedFetch ({ key, session }) {
  const account = privateKeyToAccount(key)
  return async (input, init) => {
    const { origin, protocol, host, pathname } = new URL(input)
    const asked = JSON.parse(init.body)
    asked.metadata = { ...asked.metadata, writ_salt: randomBytes(16).toString('base64url') }
    const body = JSON.stringify(asked)
    const headers = new Headers(init.headers)
    for (const name of ['authorization', 'x-api-key']) headers.delete(name)
    headers.set('content-type', 'application/json')
    headers.set('content-digest', `sha-256=:${createHash('sha256').update(body).digest('base64')}:`)
    headers.set('x-writ-session', session)
    const values = { '@scheme': protocol.slice(0, -1), '@authority': host, '@method': init.method.toUpperCase(), '@path': pathname, '@query': '?' }
    for (const name of ['content-digest', 'content-type', 'x-writ-session', 'idempotency-key']) {
      if (headers.has(name)) values[name] = headers.get(name)
    }
    const now = Math.floor(Date.now() / 1000)
    const params = `(${Object.keys(values).map(n => `"${n}"`).join(' ')});created=${now};expires=${now + 60};` +
      `nonce="${randomBytes(16).toString('base64url')}";keyid="eip155:1:${account.address.toLowerCase()}";tag="erc8128"`
    const base = [...Object.entries(values).map(([n, v]) => `"${n}": ${v}`), `"@signature-params": ${params}`].join('\n')
    const sig = await account.signMessage({ message: base })
    headers.set('signature-input', `eth=${params}`)
    headers.set('signature', `eth=:${Buffer.from(sig.slice(2), 'hex').toString('base64')}:`)
    return fetch(origin + pathname, { ...init, body, headers }) // a query is not signed: Anthropic's beta calls have one
  }
}

const [server, file, model = 'treasurer'] = process.argv.slice(2)
const options = { apiKey: 'shown-to-nobody', maxRetries: 1, fetch: signedFetch(JSON.parse(readFileSync(file, 'utf8'))) }
const openai = new OpenAI({ ...options, baseURL: server + '/v1' })
const claude = new Anthropic({ ...options, baseURL: server })
const messages = [{ role: 'user', content: "what is alice's USDC balance?" }]
const out = {}

const { data, response } = await openai.chat.completions.create({ model, messages }).withResponse()
out.chat = data.choices[0].message.content
out.run = response.headers.get('x-writ-run')
out['chat stream'] = ''
for await (const chunk of await openai.chat.completions.create({ model, messages, stream: true })) {
  out['chat stream'] += chunk.choices[0]?.delta.content ?? ''
}
out.response = (await openai.responses.create({ model, input: messages[0].content })).output_text
out.message = (await claude.messages.create({ model, max_tokens: 500, messages })).content[0].text
out['message stream'] = await claude.messages.stream({ model, max_tokens: 500, messages }).finalText()
out.refused = await openai.chat.completions.create({ model: 'gpt-4o', messages }).catch(e => `${e.constructor.name} ${e.status}`)
console.log(JSON.stringify(out))
