// checkFiles checks that the pieces beside a request are those of the files that it names, and that these are what they are
// called: docs/record.md, "Files". A file that is not open is not looked at.
import { sha256, want } from './signed.mjs'
import { base32 } from './points.mjs'

const maxPiece = 224 << 10
const images = { png: /^\x89PNG\r\n\x1a\n/, jpeg: /^\xff\xd8\xff/, gif: /^GIF8[79]a/, webp: /^RIFF[^]{4}WEBP/ } // by how they begin, as Latin-1

export function checkFiles (r, named = [], files = [], checked) {
  const holds = (is, why) => want(is, 'decisions.event', why)
  let [at, sum] = [0, 0]
  holds(Array.isArray(named) && named.length < 9, 'no list of files')
  for (const { cid, size, type, name = type, ...rest } of named) {
    const image = images[/^image\/(png|jpeg|gif|webp)$/.exec(type)?.[1]]
    holds((image || /^(text\/[a-z0-9][a-z0-9.+-]{0,63}|application\/json)$/.test(type)) && !/[\x00-\x1f\x7f\\"<>]/.test(name) && !Object.keys(rest).length &&
      size > 0 && size <= (image ? 4 << 20 : 256 << 10) && (sum += size) <= 8 << 20 && named.filter(f => f.cid === cid).length === 1, `${cid} is no file, or too large, or twice`)
    const pieces = files.slice(at, at += Math.ceil(size / maxPiece)).map(f => r.plain(f.data))
    holds(at <= files.length, `a piece of ${cid} is missing`)
    if (!pieces.every(Boolean)) continue
    const data = Uint8Array.from(pieces.flatMap(p => [...p]))
    let ok = image?.test(String.fromCharCode(...data.subarray(0, 12)))
    if (!image) {
      try {
        const text = new TextDecoder('utf-8', { fatal: true }).decode(data)
        if (type[0] === 'a') JSON.parse(text)
        ok = !/[\x00-\x08\x0b\x0e-\x1f\x7f]/.test(text)
      } catch {}
    }
    holds(ok && data.length === size && cid === 'b' + base32([1, 85, 18, 32, ...sha256(data)], 'abcdefghijklmnopqrstuvwxyz234567'), `other bytes than ${cid}`)
  }
  holds(at === files.length, 'a piece too many')
  checked.add('files')
}
