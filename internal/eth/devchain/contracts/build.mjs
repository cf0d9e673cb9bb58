// Compiles what is here, byte for byte the same each time: npm ci && node build.mjs
// With --check it writes nothing and fails if a file is not what its source gives.
//
//   USDC.sol       -> USDC.json                 the dev chain's token
//   Token13.sol    -> token13.json              a token that behaves in 13 ways, for tests
//   Turncoat.sol   -> turncoat.json             a token that changes after it was looked at, for tests
//   Wallets.sol    -> wallets.json              contract wallets, good ones and hostile ones, for tests
//   Names.sol      -> names.json                the dev chain's names, a registry and its resolver
//   Things.sol     -> things.json               things of which there is one each, honest and not, for tests
//   Deeds.sol      -> deeds.json                a collection of ERC-721, honest and not, for tests and an example
//   Feed.sol       -> feed.json                 a feed of prices, for tests and an example
//   Vaults.sol     -> vaults.json               a vault that behaves in 12 ways, for tests
//   examples/contract/Vault.sol -> vault.json   the vault of an example
//   Validator.yul  -> ../../../../auth/validator.hex
//   Anchor.yul     -> ../../../../provenance/logproof/anchor.hex
import { readFileSync, writeFileSync } from "node:fs";
import solc from "solc";

const here = (name) => new URL(name, import.meta.url);
const settings = {
  evmVersion: "paris",
  optimizer: { enabled: true, runs: 200 },
  metadata: { bytecodeHash: "none", appendCBOR: false }, // no hash of paths or comments in the code
};
const compile = (language, file, settings, path = file) => {
  const input = {
    language,
    sources: { [file]: { content: readFileSync(here(path), "utf8") } },
    settings: { ...settings, outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } } },
  };
  const out = JSON.parse(solc.compile(JSON.stringify(input)));
  const errors = (out.errors ?? []).filter((e) => e.severity === "error");
  if (errors.length) {
    console.error(errors.map((e) => e.formattedMessage).join("\n"));
    process.exit(1);
  }
  return out.contracts[file];
};
const json = (v) => JSON.stringify(v, null, 1) + "\n";
const head = { solc: solc.version(), settings };
const bytecode = (c) => "0x" + c.evm.bytecode.object;

const all = (of) => json({
  ...head,
  contracts: Object.fromEntries(Object.entries(of).filter(([, c]) => c.evm.bytecode.object)
    .map(([name, c]) => [name, { abi: c.abi, bytecode: bytecode(c) }])),
});

const { USDC } = compile("Solidity", "USDC.sol", settings);
const { Token13 } = compile("Solidity", "Token13.sol", settings);
const turncoat = compile("Solidity", "Turncoat.sol", settings);
const wallets = compile("Solidity", "Wallets.sol", settings);
const { Names } = compile("Solidity", "Names.sol", settings);
const { Things } = compile("Solidity", "Things.sol", settings);
const { Deeds } = compile("Solidity", "Deeds.sol", settings);
const { Feed } = compile("Solidity", "Feed.sol", settings);
const { Vault } = compile("Solidity", "Vaults.sol", settings);
const example = compile("Solidity", "Vault.sol", settings, "../../../../examples/contract/Vault.sol").Vault;
const { Validator } = compile("Yul", "Validator.yul", { ...settings, optimizer: { enabled: true } });
const { Anchor } = compile("Yul", "Anchor.yul", { ...settings, optimizer: { enabled: true } });
const files = {
  "USDC.json": json({ ...head, abi: USDC.abi, bytecode: bytecode(USDC) }),
  "token13.json": json({ ...head, abi: Token13.abi, bytecode: bytecode(Token13) }),
  "names.json": json({ ...head, abi: Names.abi, bytecode: bytecode(Names) }),
  "things.json": json({ ...head, abi: Things.abi, bytecode: bytecode(Things) }),
  "deeds.json": json({ ...head, abi: Deeds.abi, bytecode: bytecode(Deeds) }),
  "feed.json": json({ ...head, abi: Feed.abi, bytecode: bytecode(Feed) }),
  "vaults.json": json({ ...head, abi: Vault.abi, bytecode: bytecode(Vault) }),
  "../../../../examples/contract/vault.json": json({ ...head, abi: example.abi, bytecode: bytecode(example) }),
  "turncoat.json": all(turncoat),
  "wallets.json": all(wallets),
  "../../../../auth/validator.hex": Validator.evm.bytecode.object + "\n",
  "../../../../provenance/logproof/anchor.hex": Anchor.evm.bytecode.object + "\n",
};

for (const [name, text] of Object.entries(files)) {
  if (!process.argv.includes("--check")) {
    writeFileSync(here(name), text);
  } else if (readFileSync(here(name), "utf8") !== text) {
    console.error(name + " is not what its source compiles to; run: node build.mjs");
    process.exit(1);
  }
}
