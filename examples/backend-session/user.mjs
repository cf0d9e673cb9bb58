// The user, somewhere else: reads what is to be signed, and signs it with the wallet. Here the wallet's key is in a file.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { mockWallet } from '../../web/sdk/dist/test.js'

const wallet = mockWallet(readFileSync(process.argv[2], 'utf8').trim())
if (process.argv[3] === 'address') console.log(wallet.address)
else {
  for (let n = 0; !existsSync('message.txt') && n < 1200; n++) await sleep(250)
  const message = readFileSync('message.txt', 'utf8')
  console.log(message.split('\n').find((l) => l.startsWith('Let agent')).split('. I further')[0])
  const signature = await wallet.request({ method: 'personal_sign', params: ['0x' + Buffer.from(message).toString('hex'), wallet.address] })
  writeFileSync('signature.half', signature)
  renameSync('signature.half', 'signature.txt')
}
