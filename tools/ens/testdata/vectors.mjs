// Writes normalize.json, what the library @adraffy/ens-normalize 1.11.1 makes of names, for TestNormalizeEqualsTheLibrary:
//   npm install --no-save @adraffy/ens-normalize@1.11.1 && node vectors.mjs > normalize.json
import { ens_normalize } from "@adraffy/ens-normalize";

let seed = 15;
const random = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
const names = [
  "alice.eth", "Alice.ETH", "a.b.c.d.eth", "xn--ls8h.eth", "ab--c.eth", "abc--d.eth", "a--b.eth", "-a-.eth", "_a.eth", "__a.eth", "a_.eth",
  "_.eth", "a_b.eth", "a..eth", ".eth", "eth.", "eth", "", ".", "a b.eth", "a'b.eth", "$a.eth", "a\u00adb.eth", "a\u200db.eth", "аlice.eth",
  "alicе.eth", "алиса.eth", "ελλάδα.eth", "faß.eth", "é.eth", "e\u0301.eth", "Ⅷ.eth", "ﬁ.eth", "１.eth", "👍.eth", "1️⃣.eth", "日本.eth", "a。eth",
  "a．eth", "K.eth", "ſ.eth", "0x00.eth", "a/b.eth", "a\nb.eth", "a\u0000.eth", "Αlice.eth", "ا.eth", "_-.eth", "_--a.eth", "__--.eth", "a-_.eth",
];
const signs = "abzABZ019-_.--__..'$ ü";
for (let i = 0; i < 600; i++) {
  let s = "";
  for (let n = 1 + random(9); n > 0; n--) s += signs[random(signs.length - (i % 3 ? 5 : 0))];
  names.push(s + (i % 2 ? ".eth" : ""));
}
const out = names.map((name) => {
  try { return [name, ens_normalize(name)]; } catch { return [name, null]; }
});
console.log("[\n" + out.map((x) => JSON.stringify(x)).join(",\n") + "\n]");
