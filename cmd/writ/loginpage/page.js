'use strict'
// The page of `writ login --browser`: finds wallets (EIP-6963, EIP-1193), fetches the text for the account, has the wallet
// sign it. The one-time code came in the address, behind the #, where no server and no Referer sees it.
const $ = (id) => document.getElementById(id)
let code = location.hash.slice(1)
history.replaceState(null, '', '/') // nobody reads it off the screen
let done = false, busy = false

const say = (text, kind = '') => {
  $('status').textContent = text
  $('status').className = kind
}
const end = (text, kind) => {
  done = true
  for (const id of ['choose', 'read', 'cancel', 'about']) $(id).hidden = true
  say(text, kind)
}

const post = async (path, body) => {
  let r
  try {
    r = await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json', 'X-Writ-Code': code }, body: JSON.stringify(body) })
  } catch {
    throw { ended: 'The program writ login does not answer any more. Run it again.' }
  }
  const answer = await r.json()
  if (!r.ok) throw { ended: answer.message }
  return answer
}

const rejected = (e) => e?.code === 4001
// What went wrong, in a sentence. An error of our own ends the page; one of the wallet lets the user try again.
const failed = (e, again) => {
  if (e?.ended) return end(e.ended, 'bad')
  if (rejected(e)) return say('You declined in the wallet. Nothing was signed. Try again, or cancel.', 'bad')
  say(`The wallet says: ${e?.message ?? e}. ${again}`, 'bad')
}

let wallet, account, message

const choose = async (w) => {
  if (busy) return
  busy = true
  say(`Waiting for ${w.info.name} ...`)
  try {
    const accounts = await w.provider.request({ method: 'eth_requestAccounts' })
    if (!accounts?.length) throw new Error('it gave no account')
    wallet = w
    const answer = await post('/account', { account: accounts[0] })
    code = answer.ticket // the code is used up
    ;({ account, message } = answer)
    $('limits').textContent = answer.limits
    $('text').textContent = message
    if (answer.domain !== location.host) {
      $('origin').textContent = `The text is for ${answer.domain}, the server that you named, and this page is ${location.host}: your wallet may warn that they differ.`
      $('origin').hidden = false
    }
    $('choose').hidden = true
    $('read').hidden = false
    say('')
    $('sign').focus()
  } catch (e) {
    failed(e, 'Try again, or choose another wallet.')
  } finally {
    busy = false
  }
}

$('sign').onclick = async () => {
  if (busy) return
  busy = $('sign').disabled = true
  say(`Waiting for ${wallet.info.name} ...`)
  try {
    const hex = '0x' + Array.from(new TextEncoder().encode(message), (b) => b.toString(16).padStart(2, '0')).join('')
    const signature = await wallet.provider.request({ method: 'personal_sign', params: [hex, account] })
    const answer = await post('/signature', { signature })
    end(`Signed in as ${answer.account}. Go on in the terminal; this page can be closed.`, 'good')
  } catch (e) {
    failed(e, 'Try again, or cancel.')
  } finally {
    busy = $('sign').disabled = false
  }
}

$('cancel').onclick = async () => {
  try {
    await post('/cancel', {})
  } catch { /* it has ended already */ }
  end('Cancelled. Nothing was signed, nothing has changed. This page can be closed.')
}

const known = new Map()
const offer = (detail) => {
  const { info, provider } = detail ?? {}
  if (done || !provider?.request || known.has(info.uuid)) return
  const b = document.createElement('button')
  b.textContent = info.name
  b.onclick = () => choose(detail)
  known.set(info.uuid, b)
  $('wallets').append(b)
  $('none').hidden = true
}

if (!code) {
  end('This address is not complete. Open the one that writ login printed.', 'bad')
} else {
  $('choose').hidden = $('cancel').hidden = false
  addEventListener('eip6963:announceProvider', (e) => offer(e.detail))
  dispatchEvent(new Event('eip6963:requestProvider'))
  // A wallet that does not announce itself.
  setTimeout(() => {
    if (!known.size && window.ethereum) offer({ info: { uuid: 'window.ethereum', name: 'Browser wallet' }, provider: window.ethereum })
  }, 300)
}
