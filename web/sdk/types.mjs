// Writes src/wire.ts, the protocol's types, from the OpenRPC document that the Go code makes.
import { readFileSync, writeFileSync } from 'node:fs'

const doc = JSON.parse(readFileSync(new URL('../../agent/wire/openrpc.json', import.meta.url)))
const type = (s) => {
  if (s.$ref) return s.$ref.split('/').pop()
  switch (s.type) {
    case 'string': return 'string'
    case 'integer': return 'number'
    case 'boolean': return 'boolean'
    case 'array': return `${type(s.items)}[]`
    case 'object': return s.properties ? object(s) : `Record<string, ${s.additionalProperties ? type(s.additionalProperties) : 'unknown'}>`
    default: return 'unknown'
  }
}
const fields = (rows) => `{ ${rows.map(([name, must, s]) => `${name}${must ? '' : '?'}: ${type(s)}`).join('; ')} }`
const object = (s) => {
  const rows = Object.entries(s.properties).sort().map(([name, f]) => [name, s.required?.includes(name), f])
  return rows.length ? fields(rows) : 'Record<string, never>'
}
const out = ['// Made by types.mjs from agent/wire/openrpc.json. Do not edit.', '']
for (const [name, s] of Object.entries(doc.components.schemas).sort()) out.push(`export type ${name} = ${object(s)}`, '')
out.push('/** Every method: what it takes, what it gives, and whether the request is signed. */', 'export interface Methods {')
for (const m of doc.methods) {
  const params = m.params.length ? fields(m.params.map((p) => [p.name, p.required, p.schema])) : 'Record<string, never>'
  out.push(`  /** ${m.summary} */`, `  '${m.name}': { params: ${params}; result: ${type(m.result.schema)}; access: '${m['x-access']}' }`)
}
out.push('}', '', `export type Code = ${Object.keys(doc['x-errors']).sort().map((c) => `'${c}'`).join(' | ')}`, '')
const verbs = doc.methods.filter((m) => m['x-access'].startsWith('signed')).map((m) => m.name.split('.')[1])
for (const m of doc.methods) if (!m['x-access'].startsWith('signed') && verbs.some((v) => m.name.endsWith('.' + v))) throw new Error(`${m.name} is not signed, and ends as one that is`)
out.push('/** Tells the methods whose requests are signed, by their last words. */', `export const signed = /\\.(${[...new Set(verbs)].sort().join('|')})$/`, '')
writeFileSync(new URL('src/wire.ts', import.meta.url), out.join('\n'))
