#!/bin/sh
# A contract's functions as tools, from its ABI to a verified run: two functions that read are named and one that writes, an
# agent uses them, the wallet approves, and a stranger verifies. It needs Go and nothing else: no network, no key.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
server=
trap 'exec 2>/dev/null; test -z "$server" || { kill "$server" && wait "$server" || true; }; rm -rf "$work"' EXIT
cd "$here/../.."
bin=${TEST_BIN:-$work} # tests share what they compile
go build -o "$bin/" ./cmd/writ
go build -o "$work/" ./examples/contract/deploy
cd "$work"
export WRIT_HOME="$work/home" PATH="$bin:$work:$PATH"
mkdir -p "$WRIT_HOME"

echo "== 1. name two functions that read, of the dev chain's USDC and of a vault, and one of the vault that writes"
vault=$(deploy)
cat >writ.yaml <<YAML
tools:
  - contract:
      name: usdc.supply
      address: "0xB447Faf2460549aeD7C1B6b288ad1536475d9806"
      abi: $here/erc20.json
      function: totalSupply
      about: How many smallest units of USDC (6 decimals) there are.
      integrity: tool
      utterances: ["show the supply"]
  - contract:
      name: vault.shares
      address: "$vault"
      abi: $here/vault.json
      function: sharesOf
      about: How many shares of the vault an account has, in smallest units (6 decimals).
      integrity: tool
      utterances: ["show the shares of {account}"]
  - contract:
      name: vault.deposit
      address: "$vault"
      abi: $here/vault.json
      function: deposit
      about: Deposits USDC of the agent's account in the vault. The vault must have been allowed to take it.
      spend: {amount: assets, asset: USDC}
      integrity: tool
      utterances: ["deposit {assets} for {receiver}"]
YAML
writ tools ls

echo "== 2. run a server and an agent that has them; the vault is deployed"
writ dev --listen 127.0.0.1:0 --data data --tools writ.yaml --agent-file "$here/teller.yaml" --ready-file ready 2>dev.log &
server=$!
while ! test -s ready; do
	kill -0 "$server" || { cat dev.log; exit 1; }
	sleep 0.1
done
operator=$(sed 's/.*"operator_key":"\([0-9a-f]*\)".*/\1/' ready)
deploy "$(sed 's/.*"chain":"\([^"]*\)".*/\1/' ready)" "$here/vault.json" >/dev/null
writ login --agent teller
writ run "show the supply"

echo "== 3. a deposit without an allowance is refused before it is signed, in the contract's words"
writ run "deposit 3 for bob" && exit 1

echo "== 4. with one it waits for the wallet, and is done"
approve() {
	writ run --json "$1" >run.json || test $? = 20
	run=$(sed 's/.*"run":"\([a-z0-9]*\)".*/\1/' run.json)
	writ approve "$run" --yes
}
approve "let $vault take 3 USDC"
approve "deposit 3 for bob"
writ run "show the shares of bob"

echo "== 5. what happened is proven to a stranger"
writ export "$run" -o run.car --keys keys.json
writ verify run.car --keys keys.json --operator-key "$operator"
