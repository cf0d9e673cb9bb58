// What a person who decides is shown of a text from outside. It is the rule of the command line (internal/wording), which a
// test compares with this one: what is not known to look like itself alone is spelled out.

/** An alphabet whose letters may be shown; one that mixes may stand beside Latin letters in a word. */
const scripts: [letters: RegExp, mixes: boolean][] = [
  [/[A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u0130\u0134-\u0137\u0139-\u013e\u0141-\u0148\u014a-\u017e\u01a0\u01a1\u01af\u01b0\u01cd-\u01dc\u0218-\u021b\u1ea0-\u1ef9]/, true],
  [/[\u0400-\u0481\u048a-\u04ff]/, false],
  [/[\u0386\u0388-\u03ce]/, false],
  [/[\u0531-\u0556\u0561-\u0586]/, false],
  [/[\u10d0-\u10f0]/, false],
  [/[\u0e01-\u0e30\u0e32\u0e40-\u0e45]/, false],
  [/[\u3041-\u3096\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]/, true],
]

/** Letters that common type shows as ASCII ones. */
const like = new Set('АВЕЅІЈКМНОРСТУХҮԌԚԜҺӀавеѕіјкмнорстухүһӏԁԛԝҽґғѵѴӔӕҫҪїЇёЁӧӦӓӒҐΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹαβγεηικνορτυχωςϲϳάέήίόύώϊϋΐΰΆΈΉΊΌΎΏΪΫօոսհցյլզքգՕՍՏԼՈՇıȷ')

const scriptOf = (c: string): number => {
  if (!/\p{L}/u.test(c)) return -1
  const n = scripts.findIndex(([letters]) => letters.test(c))
  return n === 0 && like.has(c) ? -1 : n
}

const plainSign = (c: string): boolean => {
  const n = c.codePointAt(0)!
  return '€£¥§°±÷«»©®¿¡、。「」『』'.includes(c) || (n >= 0x1f300 && n <= 0x1f3fa) || (n >= 0x1f400 && n <= 0x1f64f) || (n >= 0x1f680 && n <= 0x1f6c5)
}

/** The characters of s, each with whether it is spelled out. */
const judge = (s: string): { c: string; odd: boolean }[] => {
  const out: { c: string; odd: boolean }[] = []
  for (const part of s.match(/\p{L}[\p{L}\p{M}]*|[^\p{L}]/gu) ?? []) {
    const chars = [...part], of = chars.map(scriptOf)
    const inWord = new Set(of.filter((n) => n >= 0))
    const telling = new Set(of.filter((n, i) => n >= 0 && !like.has(chars[i]!)))
    chars.forEach((c, i) => {
      const n = of[i]!
      if (/\p{L}/u.test(part)) out.push({ c, odd: !(c < '\u0080') && (n < 0 || (!scripts[n]![1] && (inWord.size > 1 || !telling.has(n)))) })
      else out.push({ c, odd: !((c >= ' ' && c <= '~') || plainSign(c)) })
    })
  }
  return out.map((x, i) => ({ c: x.c, odd: x.odd || (x.c === ' ' && (i === 0 || i === out.length - 1 || out[i + 1]!.c === ' ')) }))
}

/** Characters that a person cannot see, or that look like others: shown with their code points. */
export const strange = (s: string): { text: string; odd: boolean }[] => {
  const out: { text: string; odd: boolean }[] = []
  for (const { c, odd } of judge(s)) {
    const shown = odd ? `${scriptOf(c) >= 0 || like.has(c) ? c + ' ' : ''}U+${c.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}` : c
    const last = out.at(-1)
    if (last && last.odd === odd && !odd) last.text += shown
    else out.push({ text: shown, odd })
  }
  return out
}
