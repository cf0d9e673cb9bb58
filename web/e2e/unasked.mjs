// The chain does not answer: a contract wallet is neither let in nor refused, and an account with a key signs in all the
// same. Arguments: the server's URL, and a contract wallet's address. Prints how each sign-in ended.
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { newKey, Session } from './session.mjs'

const [server, contract] = process.argv.slice(2)
const of = privateKeyToAccount(generatePrivateKey())
const out = {}
for (const [name, account] of Object.entries({ contract, key: of.address })) {
  const s = await Session.connect(server)
  const request = { account, chain: 1337, agent: 'treasurer', key: await newKey(), sign: (message) => of.signMessage({ message }) }
  out[name] = await s.signIn(request).then(() => 'signed in', ({ number, code, retryable }) => `${number} ${code}, retryable: ${retryable}`)
  s.close()
}
console.log(JSON.stringify(out))
