// Writes framework.json, the Delegation Framework's contracts as the dev chain has them, out of MetaMask's packages:
//
//   npm install --no-save @metamask/delegation-abis@2.0.0 @metamask/delegation-deployments@2.0.0 && node framework.mjs
//
// With --check it writes nothing and fails if the file is not what the packages give. The packages are licensed MIT-0 OR
// Apache-2.0; MIT-0 asks for nothing, and framework.json says where they are from.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const code = require("@metamask/delegation-abis/bytecode");
const { DELEGATOR_CONTRACTS } = require("@metamask/delegation-deployments");
const version = "1.3.0";
const at = DELEGATOR_CONTRACTS[version]["1"];
const word = (hex) => hex.slice(2).toLowerCase().padStart(64, "0");
// Constructors take the manager's owner, and of accounts the manager and the entry point.
const owner = "0x000000000000000000000000000000000000dEaD"; // nobody can pause the dev chain's manager
const account = word(at.DelegationManager) + word(at.EntryPoint);
// The library that checks passkeys is left out: on the dev chain accounts have keys of secp256k1.
const library = /__\$[0-9a-f]{34}\$__/g;
const wanted = {
  DelegationManager: word(owner),
  EIP7702StatelessDeleGator: account,
  HybridDeleGator: account,
  AllowedCalldataEnforcer: "",
  ERC20PeriodTransferEnforcer: "",
  ERC20TransferAmountEnforcer: "",
  LimitedCallsEnforcer: "",
  LogicalOrWrapperEnforcer: word(at.DelegationManager),
  NonceEnforcer: "",
  RedeemerEnforcer: "",
  TimestampEnforcer: "",
  ValueLteEnforcer: "",
};
const out = JSON.stringify({
  from: "@metamask/delegation-abis@2.0.0, @metamask/delegation-deployments@2.0.0",
  licence: "MIT-0 OR Apache-2.0, Copyright MetaMask",
  version,
  proxy: code.ERC1967Proxy,
  contracts: Object.entries(wanted).map(([name, args]) => ({
    name, address: at[name] ?? at[name + "Impl"], code: code[name].replace(library, "0".repeat(40)) + args,
  })),
}, null, 1) + "\n";
const file = new URL("framework.json", import.meta.url);
if (process.argv.includes("--check")) {
  if (readFileSync(file, "utf8") !== out) throw new Error("framework.json is not what the packages give");
} else writeFileSync(file, out);
