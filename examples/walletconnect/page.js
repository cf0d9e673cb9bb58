// A page whose users connect by WalletConnect: AppKit shows the wallets and the QR code, and gives an EIP-1193 provider, which is
// all that writ's SDK asks for. AppKit is not writ's, and asks its makers' servers; nothing else in writ does.
import { createAppKit } from '@reown/appkit'
import { EthersAdapter } from '@reown/appkit-adapter-ethers'
import { mainnet } from '@reown/appkit/networks'
import { connect } from 'writ-sdk'

const { server, chain } = await (await fetch('./writ.json')).json()
const show = (id, text) => { document.querySelector(id).textContent = text }
const projectId = new URLSearchParams(location.search).get('project') ?? PROJECT // of run.sh, by the build
const button = document.querySelector('#connect')

const explain = (e) => show('#says', `${e.message ?? e} ${e.hint ?? ''}`)

const signIn = async (provider) => {
  try {
    const client = await connect(server)
    const session = await client.signIn(provider, { agent: 'treasurer', chain, review: (text) => { show('#text', text); return true } })
    show('#says', `${session.info.account} has allowed ${session.info.agent} what the text says.`)
    const { text } = await session.run("what is alice's USDC balance?")
    show('#answer', text)
  } catch (e) {
    explain(e)
  }
}

if (!projectId) {
  button.disabled = true
  show('#says', 'WalletConnect needs a project of yours: make one at https://cloud.reown.com, and open this page with ?project=ID.')
} else {
  const kit = createAppKit({
    adapters: [new EthersAdapter()], networks: [mainnet], projectId,
    metadata: { name: 'writ', description: 'Signs in at writ', url: location.origin, icons: [] },
    features: { analytics: false, email: false, socials: false, swaps: false, onramp: false }, // it still asks its servers
  })
  button.onclick = () => kit.open().catch(explain)
  let last
  kit.subscribeProviders((all) => {
    const provider = all.eip155
    if (provider && provider !== last) void signIn((last = provider))
  })
}
