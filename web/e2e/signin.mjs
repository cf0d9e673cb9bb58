// viem, ethers and npm's siwe each sign in at a running server, ask something, and approve a payment by EIP-712. Prints
// what came of it, one JSON object a library and line. Arguments: the server's URL, and the chain's id.
import assert from 'node:assert/strict'
import { recoverTypedDataAddress, verifyMessage } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { parseSiweMessage, validateSiweMessage } from 'viem/siwe'
import { Wallet } from 'ethers'
import { SiweMessage } from 'siwe'
import { newKey, Session } from './session.mjs'

const [server, chain] = [process.argv[2], Number(process.argv[3])]
const domain = new URL(server).host

const account = privateKeyToAccount(generatePrivateKey())
const viem = {
  address: account.address,
  sign: async (message) => {
    const m = parseSiweMessage(message)
    assert.equal(m.chainId, chain)
    assert(validateSiweMessage({ message: m, address: account.address, domain, scheme: 'http' }), 'viem does not take the message for valid')
    const signature = await account.signMessage({ message })
    assert(await verifyMessage({ address: account.address, message, signature }))
    return signature
  },
  typed: async (t) => {
    const signature = await account.signTypedData(t)
    assert.equal(await recoverTypedDataAddress({ ...t, signature }), account.address)
    return signature
  },
}

const wallet = Wallet.createRandom()
const typedByEthers = ({ domain, types: { EIP712Domain, ...types }, message }) => wallet.signTypedData(domain, types, message)
const ethers = { address: wallet.address, sign: (message) => wallet.signMessage(message), typed: typedByEthers }

// siwe reads the text and writes it again: what is signed is its own text, which must be the server's.
const siwe = {
  address: wallet.address,
  uri: 'origin', // as wallet kits have it: the session key stands in the ReCap
  sign: async (message) => {
    const m = new SiweMessage(message)
    assert.equal(m.prepareMessage(), message)
    assert.equal(m.uri, new URL(server).origin)
    const signature = await wallet.signMessage(m.prepareMessage())
    const { success } = await m.verify({ signature, domain, scheme: 'http', nonce: m.nonce })
    assert(success, 'siwe does not accept its own signature')
    return signature
  },
  typed: typedByEthers,
}

for (const [name, w] of Object.entries({ viem, ethers, siwe })) {
  const s = await Session.connect(server)
  const key = await newKey()
  const opened = await s.signIn({ account: w.address, chain, agent: 'treasurer', key, uri: w.uri, sign: w.sign })
  assert.equal(opened.account, w.address)

  // A signed frame counts once, on its channel, with its number.
  const replayed = await s.auth('run.list', '{}', 1)
  const code = (p) => p.then(() => 'accepted', (e) => e.code)
  assert.equal(await code(s.call('run.cancel', { run: opened.session }, replayed)), 'seq_wrong')
  const other = await Session.connect(server)
  assert.equal(await code(other.call('session.open', { session: opened.session }, await s.auth('session.open', JSON.stringify({ session: opened.session }), 1))), 'signature_wrong')
  other.close()

  const asked = await s.run('treasurer', "what is bob's USDC balance?", assert.fail)
  let typed
  const paid = await s.run('treasurer', 'send 5 USDC to bob', async (a) => {
    typed = a.typed_data
    // One bit of the amount more, and the wallet's signature is for something else.
    const more = structuredClone(typed)
    more.message.maxAmount = String(BigInt(more.message.maxAmount) + 1n)
    assert.equal(await code(s.decide(a, await w.typed(more))), 'signature_wrong')
    // The approval may come over another socket than the run's.
    const second = await Session.connect(server)
    await second.resume(opened.session, key)
    await second.decide(a, await w.typed(typed))
    second.close()
  })
  s.close()
  console.log(JSON.stringify({ library: name, account: opened.account, agent: opened.agent, asked, paid, recipient: typed.message.recipient, amount: typed.message.maxAmount }))
}
