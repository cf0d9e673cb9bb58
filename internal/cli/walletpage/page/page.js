'use strict'
// The page of `writ login --browser` and `writ approve --browser`: finds wallets (EIP-6963, EIP-1193), fetches what the
// account is to sign, has the wallet sign it. The one-time code came in the address, behind the #, where no server and no Referer sees it.
const $ = (id) => document.getElementById(id)
// A page that is loaded anew in this tab goes on where it was: kept is the code or, once that is used up, what came for it.
let kept = location.hash ? { code: location.hash.slice(1) } : JSON.parse(sessionStorage.getItem('writ') ?? '{}')
let code = kept.code
const keep = (what) => sessionStorage.setItem('writ', JSON.stringify(kept = what))
history.replaceState(null, '', '/') // nobody reads it off the screen
let done = false, busy = false

const say = (text, kind = '') => {
  $('status').textContent = text
  $('status').className = kind
}
const end = (text, kind) => {
  done = true
  sessionStorage.removeItem('writ')
  for (const id of ['choose', 'read', 'cancel', 'about']) $(id).hidden = true
  say(text, kind)
}

const post = async (path, body) => {
  let r
  try {
    r = await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json', 'X-Writ-Code': code }, body: JSON.stringify(body) })
  } catch {
    throw { ended: 'The program in the terminal does not answer any more. Run it again.' }
  }
  const answer = await r.json()
  if (!r.ok) throw answer.retry ? { retry: answer.message } : { ended: answer.message }
  return answer
}

const rejected = (e) => e?.code === 4001
// What went wrong, in a sentence. An error of our own ends the page; one of the wallet lets the user try again.
const failed = (e, again) => {
  if (e?.ended) return end(e.ended, 'bad')
  if (e?.retry) return say(e.retry, 'bad')
  if (rejected(e)) return say('You declined in the wallet. Nothing was signed. Try again, or cancel.', 'bad')
  say(`The wallet says: ${e?.message ?? e}. ${again}`, 'bad')
}

let wallet, account, message, typed, chain

const choose = async (w) => {
  if (busy) return
  busy = true
  say(`Waiting for ${w.info.name} ...`)
  try {
    const accounts = await w.provider.request({ method: 'eth_requestAccounts' })
    if (!accounts?.length) throw new Error('it gave no account')
    wallet = w
    if (kept.answer && kept.answer.account.toLowerCase() !== accounts[0].toLowerCase()) {
      throw { retry: `The text is for ${kept.answer.account}, and the wallet gave another account. Choose that one in the wallet, and try again.` }
    }
    const answer = kept.answer ?? await post('/account', { account: accounts[0] })
    code = answer.ticket // the code is used up
    keep({ code, answer })
    ;({ account, message, typed, chain } = answer)
    if (typed) {
      for (const [name, value] of answer.rows) {
        const dt = document.createElement('dt'), dd = document.createElement('dd')
        dt.textContent = name
        dd.textContent = value
        $('rows').append(dt, dd)
      }
      $('text').textContent = JSON.stringify(typed, null, 2)
    } else {
      $('limits').textContent = answer.limits
      $('text').textContent = message
    }
    if (!typed && answer.domain !== location.host) {
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
    let signature
    if (typed) {
      await onChain()
      signature = await wallet.provider.request({ method: 'eth_signTypedData_v4', params: [account, JSON.stringify(typed)] })
    } else {
      signature = await wallet.provider.request({ method: 'personal_sign', params: [hexOf(message), account] })
    }
    const answer = await post('/signature', { signature })
    end(answer.done ?? `Signed in as ${answer.account}. Go on in the terminal; this page can be closed.`, 'good')
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

const hexOf = (text) => '0x' + Array.from(new TextEncoder().encode(text), (b) => b.toString(16).padStart(2, '0')).join('')

// Some wallets sign typed data only while they are on its chain. One that cannot go there may sign all the same.
const onChain = async () => {
  const want = '0x' + chain.toString(16)
  try {
    if ((await wallet.provider.request({ method: 'eth_chainId' })) !== want) {
      await wallet.provider.request({ method: 'wallet_switchEthereumChain', params: [{ chainId: want }] })
    }
  } catch (e) {
    if (rejected(e)) throw e
  }
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
  end('This address is not complete. Open the one that the terminal shows.', 'bad')
} else {
  keep(kept)
  $('choose').hidden = $('cancel').hidden = false
  addEventListener('eip6963:announceProvider', (e) => offer(e.detail))
  dispatchEvent(new Event('eip6963:requestProvider'))
  // A wallet that does not announce itself.
  setTimeout(() => {
    if (!known.size && window.ethereum) offer({ info: { uuid: 'window.ethereum', name: 'Browser wallet' }, provider: window.ethereum })
  }, 300)
}
