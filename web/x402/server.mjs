// A server that sells by x402, of the protocol's own packages: resource server, facilitator and scheme are theirs.
// node server.mjs CHAIN_URL KEY ASSET PAY_TO prints its address; it settles with the account of KEY.
import { createServer } from 'node:http'
import { createPublicClient, createWalletClient, defineChain, http, publicActions } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { x402Facilitator } from '@x402/core/facilitator'
import { x402HTTPResourceServer, x402ResourceServer } from '@x402/core/server'
import { toFacilitatorEvmSigner } from '@x402/evm'
import { ExactEvmScheme as Settles } from '@x402/evm/exact/facilitator'
import { ExactEvmScheme as Sells } from '@x402/evm/exact/server'

const [url, key, asset, payTo] = process.argv.slice(2)
const network = 'eip155:1337'
const chain = defineChain({ id: 1337, name: 'dev', nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 }, rpcUrls: { default: { http: [url] } } })
const account = privateKeyToAccount(key)
const client = createWalletClient({ account, chain, transport: http(url), pollingInterval: 50 }).extend(publicActions)
const facilitator = new x402Facilitator()
facilitator.register(network, new Settles(toFacilitatorEvmSigner({
  address: account.address, readContract: (a) => client.readContract(a), verifyTypedData: (a) => client.verifyTypedData(a),
  writeContract: (a) => client.writeContract({ ...a, chain, account }), sendTransaction: (a) => client.sendTransaction({ ...a, chain, account }),
  waitForTransactionReceipt: (a) => client.waitForTransactionReceipt(a), getCode: (a) => client.getCode(a),
})))
const resources = new x402ResourceServer({
  verify: (p, r) => facilitator.verify(p, r), settle: (p, r) => facilitator.settle(p, r), getSupported: async () => facilitator.getSupported(),
})
resources.register(network, new Sells())
const report = {
  accepts: { scheme: 'exact', network, payTo, maxTimeoutSeconds: 60, price: { amount: '10000', asset, extra: { name: 'USD Coin (dev)', version: '2' } } },
  description: 'A report', mimeType: 'application/json',
}
const shop = new x402HTTPResourceServer(resources, { 'GET /report': report, 'POST /report': report })
await shop.initialize()

const answer = (res, { status, headers, body }) => {
  res.writeHead(status, headers)
  res.end(typeof body === 'string' ? body : JSON.stringify(body ?? {}))
}
const server = createServer(async (req, res) => {
  try {
    const sent = []
    for await (const chunk of req) sent.push(chunk)
    const at = new URL(req.url, 'http://' + req.headers.host)
    const adapter = {
      getHeader: (name) => req.headers[name.toLowerCase()], getMethod: () => req.method, getPath: () => at.pathname, getUrl: () => at.href,
      getAcceptHeader: () => req.headers.accept ?? '', getUserAgent: () => req.headers['user-agent'] ?? '',
    }
    const context = { adapter, path: at.pathname, method: req.method, paymentHeader: req.headers['payment-signature'] }
    const result = await shop.processHTTPRequest(context)
    if (result.type === 'no-payment-required') return answer(res, { status: 404, headers: {}, body: 'nothing is sold here' })
    if (result.type === 'payment-error') return answer(res, result.response)
    const settled = await shop.processSettlement(result.paymentPayload, result.paymentRequirements, result.declaredExtensions, { request: context })
    if (!settled.success) {
      console.error(JSON.stringify(settled))
      return answer(res, settled.response)
    }
    answer(res, { status: 200, headers: { ...settled.headers, 'Content-Type': 'application/json' }, body: { report: 'sunny', of: Buffer.concat(sent).toString() || undefined } })
  } catch (err) {
    console.error(err)
    answer(res, { status: 500, headers: {}, body: 'failed' })
  }
})
server.listen(0, '127.0.0.1', () => console.log('http://127.0.0.1:' + server.address().port))
