// Compiles USDC.sol to USDC.json, byte for byte the same each time: npm ci && node build.mjs
// With --check it writes nothing and fails if USDC.json is not what the source gives.
import { readFileSync, writeFileSync } from "node:fs";
import solc from "solc";

const here = (name) => new URL(name, import.meta.url);
const settings = {
  evmVersion: "paris",
  optimizer: { enabled: true, runs: 200 },
  metadata: { bytecodeHash: "none", appendCBOR: false }, // no hash of paths or comments in the code
  outputSelection: { "*": { USDC: ["abi", "evm.bytecode.object"] } },
};
const input = {
  language: "Solidity",
  sources: { "USDC.sol": { content: readFileSync(here("USDC.sol"), "utf8") } },
  settings,
};
const out = JSON.parse(solc.compile(JSON.stringify(input)));
if (out.errors?.length) {
  console.error(out.errors.map((e) => e.formattedMessage).join("\n"));
  process.exit(1);
}
const { abi, evm } = out.contracts["USDC.sol"].USDC;
const { outputSelection, ...shown } = settings;
const json = JSON.stringify({ solc: solc.version(), settings: shown, abi, bytecode: "0x" + evm.bytecode.object }, null, 1) + "\n";

if (process.argv.includes("--check")) {
  if (readFileSync(here("USDC.json"), "utf8") !== json) {
    console.error("USDC.json is not what USDC.sol compiles to; run: node build.mjs");
    process.exit(1);
  }
} else {
  writeFileSync(here("USDC.json"), json);
}
