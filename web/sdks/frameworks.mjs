// LangChain and the AI SDK, unmodified, with an agent as the model, each in the three dialects. Prints one JSON object.
//
//   WRIT_KEY=$KEY WRIT_URL=http://127.0.0.1:8420 node frameworks.mjs AGENT
import { ChatOpenAI } from '@langchain/openai'
import { ChatAnthropic } from '@langchain/anthropic'
import { HumanMessage, ToolMessage } from '@langchain/core/messages'
import { tool } from '@langchain/core/tools'
import { createOpenAI } from '@ai-sdk/openai'
import { createAnthropic } from '@ai-sdk/anthropic'
import { Output, generateText, stepCountIs, streamText, tool as aiTool } from 'ai'
import { z } from 'zod'

const [model, apiKey, url] = [process.argv[2], process.env.WRIT_KEY, process.env.WRIT_URL]
const baseURL = `${url}/v1`
const runs = new Set()
const pause = (ms) => new Promise((ok) => setTimeout(ok, ms))
const noted = async (where, init) => { // notes which run each answer is of; a limit of requests is waited for
  let response = await fetch(where, init)
  for (let tries = 0; response.status === 429 && tries < 60; tries++) {
    await pause(1000)
    response = await fetch(where, init)
  }
  if (response.headers.get('x-writ-run')) runs.add(response.headers.get('x-writ-run'))
  return response
}
const last = () => [...runs].at(-1)
const code = async (call) => {
  try { await call() } catch (e) { return e.status ?? e.statusCode ?? String(e) }
  return 'accepted'
}
const person = z.object({ name: z.string() })
const weather = 'how is the weather in Rome?'
const out = {}
globalThis.AI_SDK_LOG_WARNINGS = false // that it does not know the model

const langchain = (key, name = model) => {
  const openai = { model: name, apiKey: key, maxRetries: 0, configuration: { baseURL, fetch: noted } }
  return {
    chat: new ChatOpenAI(openai),
    responses: new ChatOpenAI({ ...openai, useResponsesApi: true }),
    messages: new ChatAnthropic({ model: name, apiKey: key, maxRetries: 0, maxTokens: 500, anthropicApiUrl: url,
      clientOptions: { fetch: noted } }),
  }
}
const getWeather = tool(({ city }) => `21 degrees in ${city}`,
  { name: 'get_weather', description: 'Tells the weather.', schema: z.object({ city: z.string() }) })
for (const [dialect, chat] of Object.entries(langchain(apiKey))) {
  const got = out[`langchain ${dialect}`] = {}
  got.text = (await chat.invoke('hello')).text
  got.stream = ''
  for await (const chunk of await chat.stream('hello')) got.stream += chunk.text
  const asked = [new HumanMessage(weather)]
  const withTools = chat.bindTools([getWeather])
  const called = await withTools.invoke(asked)
  asked.push(called)
  for (const call of called.tool_calls) asked.push(await getWeather.invoke(call))
  const told = await withTools.invoke(asked)
  got.tools = told.text
  got.called = asked[2] instanceof ToolMessage && called.tool_calls[0].args.city
  got.again = (await chat.invoke([...asked, told, new HumanMessage('and now hello')])).text
  got.formed = await chat.withStructuredOutput(person, { name: 'person' }).invoke('who?')
  got.formedByCall = await chat.withStructuredOutput(person, { name: 'person', method: 'functionCalling' }).invoke('who?')
  got.broken = await code(() => chat.invoke('be broken'))
  got.key = await code(() => langchain('writ_nothing')[dialect].invoke('hello'))
  got.model = await code(() => langchain(apiKey, 'gpt-4o')[dialect].invoke('hello'))
  const stop = new AbortController()
  try {
    for await (const chunk of await chat.stream('be slow', { signal: stop.signal })) if (chunk.text) stop.abort()
  } catch {} // it was aborted
  got.cancelled = last()
}

const ai = (key, name = model) => {
  const openai = createOpenAI({ apiKey: key, baseURL, fetch: noted })
  return {
    chat: openai.chat(name), responses: openai.responses(name),
    messages: createAnthropic({ apiKey: key, baseURL, fetch: noted })(name),
  }
}
for (const [dialect, chat] of Object.entries(ai(apiKey))) {
  const got = out[`ai ${dialect}`] = {}
  const ask = (prompt, more) => generateText({ model: chat, prompt, maxRetries: 0, ...more })
  const write = (prompt, more) => streamText({ model: chat, prompt, maxRetries: 0, onError() {}, ...more })
  const tools = { get_weather: aiTool({ description: 'Tells the weather.', inputSchema: z.object({ city: z.string() }),
    execute: ({ city }) => `21 degrees in ${city}` }) }
  got.text = (await ask('hello')).text
  got.stream = ''
  for await (const text of write('hello').textStream) got.stream += text
  got.tools = (await ask(weather, { tools, stopWhen: stepCountIs(3) })).text
  const streamed = write(weather, { tools, stopWhen: stepCountIs(3) })
  got.toolStream = ''
  for await (const part of streamed.fullStream) {
    if (part.type === 'text-delta') got.toolStream += part.text
    if (part.type === 'tool-result') got.called = part.input.city
  }
  const turns = [{ role: 'user', content: weather }, // a conversation goes on with what the SDK keeps of it
    ...(await ask(weather, { tools, stopWhen: stepCountIs(3) })).response.messages, { role: 'user', content: 'and now hello' }]
  got.again = (await generateText({ model: chat, messages: turns, maxRetries: 0 })).text
  got.formed = (await ask('who?', { output: Output.object({ schema: person }) })).output
  got.broken = await code(() => ask('be broken'))
  got.key = await code(() => generateText({ model: ai('writ_nothing')[dialect], prompt: 'hello', maxRetries: 0 }))
  got.model = await code(() => generateText({ model: ai(apiKey, 'gpt-4o')[dialect], prompt: 'hello', maxRetries: 0 }))
  const stop = new AbortController()
  for await (const text of write('be slow', { abortSignal: stop.signal }).textStream) if (text) stop.abort()
  got.cancelled = last()
}
out.runs = [...runs]
console.log(JSON.stringify(out))
