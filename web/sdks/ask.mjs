// The official SDKs of OpenAI and Anthropic for Node, unmodified, with an agent as the model. Prints one JSON object.
//
//   OPENAI_API_KEY=$KEY OPENAI_BASE_URL=http://127.0.0.1:8420/v1 \
//   ANTHROPIC_API_KEY=$KEY ANTHROPIC_BASE_URL=http://127.0.0.1:8420 node ask.mjs AGENT
import OpenAI from 'openai'
import Anthropic from '@anthropic-ai/sdk'

const model = process.argv[2]
const runs = new Set()
const pause = (ms) => new Promise((ok) => setTimeout(ok, ms))
const noted = async (url, init) => { // notes which run each answer is of; a limit of requests is waited for
  let response = await fetch(url, init)
  for (let tries = 0; response.status === 429 && tries < 60; tries++) {
    await pause(1000)
    response = await fetch(url, init)
  }
  if (response.headers.get('x-writ-run')) runs.add(response.headers.get('x-writ-run'))
  return response
}
const openai = new OpenAI({ maxRetries: 0, fetch: noted })
const claude = new Anthropic({ maxRetries: 0, fetch: noted })
const out = { chat: {}, responses: {}, messages: {} }
const user = (content) => [{ role: 'user', content }]
// code says with which error a call ends. One address is given only so many refusals at once; that limit is waited for.
const code = async (call) => {
  for (let tries = 0; ; tries++) {
    try { await call() } catch (e) {
      if (e.status !== 429 || tries === 60) return `${e.constructor.name} ${e.status ?? ''}`.trim()
      await pause(1000)
      continue
    }
    return 'accepted'
  }
}
const city = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
const person = { type: 'object', required: ['name'], additionalProperties: false, properties: { name: { type: 'string' } } }
const weather = 'how is the weather in Rome?'

// Chat Completions.
{
  const ask = (more, options) => openai.chat.completions.create({ model, ...more }, options)
  out.chat.text = (await ask({ messages: user('hello') })).choices[0].message.content
  const stream = openai.chat.completions.stream({ model, messages: user('hello'), stream_options: { include_usage: true } })
  const whole = await stream.finalChatCompletion()
  out.chat.stream = whole.choices[0].message.content
  out.chat.usage = whole.usage.total_tokens
  const runner = openai.chat.completions.runTools({
    model, messages: user(weather), tools: [{ type: 'function', function: {
      name: 'get_weather', description: 'Tells the weather.', parameters: city, parse: JSON.parse,
      function: ({ city }) => `21 degrees in ${city}`,
    } }],
  })
  out.chat.tools = await runner.finalContent()
  const called = await openai.chat.completions.stream({
    model, messages: user(weather), tools: [{ type: 'function', function: { name: 'get_weather', parameters: city } }],
  }).finalChatCompletion()
  const call = called.choices[0].message.tool_calls[0]
  out.chat.toolStream = [called.choices[0].finish_reason, call.function.name, call.function.arguments]
  const next = await ask({ messages: [...user(weather), called.choices[0].message,
    { role: 'tool', tool_call_id: call.id, content: '{"degrees":22}' }] })
  out.chat.toolNext = next.choices[0].message.content
  out.chat.again = await code(() => ask({ messages: [...user(weather), called.choices[0].message,
    { role: 'tool', tool_call_id: call.id, content: 'late' }] }))
  const response_format = { type: 'json_schema', json_schema: { name: 'person', strict: true, schema: person } }
  out.chat.formed = (await openai.chat.completions.parse({ model, messages: user('who?'), response_format })).choices[0].message.parsed
  out.chat.mended = (await openai.chat.completions.parse({ model, messages: user('who, wrong at first?'), response_format })).choices[0].message.parsed
  out.chat.unformed = await code(() => ask({ messages: user('who, always wrong?'), response_format }))
  out.chat.broken = await code(() => ask({ messages: user('be broken') }))
  const stop = new AbortController()
  const { data, response } = await ask({ messages: user('be slow'), stream: true }, { signal: stop.signal }).withResponse()
  out.cancelled = response.headers.get('x-writ-run')
  for await (const chunk of data) if (chunk.choices[0]?.delta.content) stop.abort()
}

// Responses.
{
  const ask = (more) => openai.responses.create({ model, ...more })
  out.responses.text = (await ask({ input: 'hello' })).output_text
  const stream = openai.responses.stream({ model, input: 'hello' })
  out.responses.stream = (await stream.finalResponse()).output_text
  const tools = [{ type: 'function', name: 'get_weather', parameters: city, strict: false }]
  const events = []
  const called = openai.responses.stream({ model, input: weather, tools })
  called.on('event', (e) => events.push(e.type))
  const first = await called.finalResponse()
  const call = first.output.find((o) => o.type === 'function_call')
  out.responses.toolStream = [call.name, call.arguments, events.includes('response.function_call_arguments.done')]
  const next = await ask({ tools, input: [...user(weather), ...first.output,
    { type: 'function_call_output', call_id: call.call_id, output: '23 degrees' }] })
  out.responses.toolNext = next.output_text
  const text = { format: { type: 'json_schema', name: 'person', schema: person } }
  out.responses.formed = (await openai.responses.parse({ model, input: 'who?', text })).output_parsed
  out.responses.unformed = await code(() => ask({ input: 'who, always wrong?', text }))
}

// Messages.
{
  const ask = (more) => claude.messages.create({ model, max_tokens: 500, ...more })
  out.messages.text = (await ask({ messages: user('hello') })).content[0].text
  out.messages.stream = await claude.messages.stream({ model, max_tokens: 500, messages: user('hello') }).finalText()
  const tools = [{ name: 'get_weather', input_schema: city }]
  const first = await claude.messages.stream({ model, max_tokens: 500, messages: user(weather), tools }).finalMessage()
  const call = first.content.find((b) => b.type === 'tool_use')
  out.messages.toolStream = [first.stop_reason, call.name, JSON.stringify(call.input)]
  const next = await ask({ tools, messages: [...user(weather), { role: 'assistant', content: first.content },
    { role: 'user', content: [{ type: 'tool_result', tool_use_id: call.id, content: '24 degrees' }] }] })
  out.messages.toolNext = next.content[0].text
  const output_config = { format: { type: 'json_schema', schema: person } }
  out.messages.formed = JSON.parse((await ask({ messages: user('who?'), output_config })).content[0].text)
  out.messages.unformed = await code(() => ask({ messages: user('who, always wrong?'), output_config }))
}

out.errors = {
  key: await code(() => new OpenAI({ apiKey: 'writ_nothing', maxRetries: 0 }).models.list()),
  model: await code(() => openai.chat.completions.create({ model: 'gpt-4o', messages: user('hi') })),
  n: await code(() => openai.chat.completions.create({ model, messages: user('hi'), n: 2 })),
  claudeKey: await code(() => new Anthropic({ apiKey: 'sk-ant-x', maxRetries: 0 }).models.list()),
  claudeModel: await code(() => claude.messages.create({ model: 'claude-x', max_tokens: 5, messages: user('hi') })),
}
out.runs = [...runs]
console.log(JSON.stringify(out))
