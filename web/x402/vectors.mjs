// What @x402/evm signs for offers of both versions, as vectors for tools/x402: node vectors.mjs > ../../tools/x402/testdata/vectors.json
import { privateKeyToAccount } from 'viem/accounts'
import { hashTypedData, domainSeparator } from 'viem'
import { ExactEvmScheme } from '@x402/evm/exact/client'
import { ExactEvmSchemeV1 } from '@x402/evm/v1'
import { authorizationTypes } from '@x402/evm'
import { encodePaymentRequiredHeader, encodePaymentSignatureHeader } from '@x402/core/http'

const key = '0x' + '4c'.repeat(32)
const account = privateKeyToAccount(key)
const asset = '0x036CbD53842c5426634e7929541eC2318f3dCF7e'
const payTo = '0x209693Bc6afc0C5328bA36FaF03C514EF312287C'
const extra = { name: 'USDC', version: '2' }
const out = []

for (const [name, terms] of [
  ['base-sepolia', { network: 'eip155:84532', amount: '10000', maxTimeoutSeconds: 60, extra }],
  ['a large amount', { network: 'eip155:8453', amount: '340282366920938463463374607431768211456', maxTimeoutSeconds: 300, extra: { name: 'USD Coin', version: '2' } }],
  ['a name beyond ASCII, and members of nobody', { network: 'eip155:1337', amount: '1', maxTimeoutSeconds: 1, extra: { name: 'Ünit <&> Côin', version: '1.0', more: [1, { a: 2.5 }] } }],
]) {
  const accepted = { scheme: 'exact', asset, payTo, ...terms }
  const resource = { url: 'https://api.example.com/report?a=1&b=2', description: 'A report', mimeType: 'application/json' }
  const required = { x402Version: 2, error: 'PAYMENT-SIGNATURE header is required', resource, accepts: [accepted] }
  const { payload } = await new ExactEvmScheme(account).createPaymentPayload(2, accepted)
  out.push({ name, version: 2, offer: encodePaymentRequiredHeader(required), payload, header: encodePaymentSignatureHeader({ x402Version: 2, resource, accepted, payload }) })
}
for (const network of ['base-sepolia', 'polygon']) {
  const accepted = {
    scheme: 'exact', network, maxAmountRequired: '12345', resource: 'https://api.example.com/report', description: '', mimeType: 'text/plain', payTo,
    maxTimeoutSeconds: 60, asset, extra,
  }
  const made = await new ExactEvmSchemeV1(account).createPaymentPayload(1, accepted)
  out.push({ name: network, version: 1, offer: JSON.stringify({ x402Version: 1, error: '', accepts: [accepted] }), payload: made.payload, header: encodePaymentSignatureHeader(made) })
}
for (const v of out) {
  const offer = JSON.parse(v.version === 2 ? Buffer.from(v.offer, 'base64').toString('utf8') : v.offer)
  const t = offer.accepts[0]
  const chains = { 'base-sepolia': 84532, polygon: 137 }
  const domain = { name: t.extra.name, version: t.extra.version, chainId: chains[t.network] ?? Number(t.network.split(':')[1]), verifyingContract: t.asset }
  v.separator = domainSeparator({ domain })
  v.digest = hashTypedData({ domain, types: authorizationTypes, primaryType: 'TransferWithAuthorization', message: v.payload.authorization })
  v.chain = domain.chainId
}
console.log(JSON.stringify({ key, from: account.address, vectors: out }, null, 1))
