#!/bin/sh
# A treasury on a chain that is not writ's own (Foundry's anvil): the agent pays little by itself, asks the treasurer's wallet for
# more, and what the wallet refuses is not paid; a stranger verifies. It needs Go and the packages of web/anvil:
# (cd web/anvil && npm ci).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
server= chain=
trap 'exec 2>/dev/null; for p in $server $chain; do kill "$p" && wait "$p" || true; done; rm -rf "$work"' EXIT
cd "$here/../.."
anvil=$(ls "$PWD"/web/anvil/node_modules/@foundry-rs/anvil-*/bin/anvil 2>/dev/null | head -n 1)
test -n "$anvil" || { echo "there is no anvil: (cd web/anvil && npm ci)" >&2; exit 1; }
usdc=$PWD/internal/eth/devchain/contracts/USDC.json
bin=${TEST_BIN:-$work} # tests share what they compile
go build -o "$bin/" ./cmd/writ
go build -o "$work/" ./examples/treasury-approval/token
cd "$work"
export WRIT_HOME="$work/home" PATH="$bin:$work:$PATH"
mkdir -p "$WRIT_HOME"

echo "== 1. a chain, and the treasury's account on it with 100 USDC"
"$anvil" --host 127.0.0.1 --port 0 --chain-id 8453 >anvil.log 2>&1 &
chain=$!
until grep -q '^Listening on ' anvil.log; do
	kill -0 "$chain" || { cat anvil.log; exit 1; }
	sleep 0.1
done
rpc=http://$(sed -n 's/^Listening on //p' anvil.log)
account() { writ wallet new "$1" --json | sed 's/.*"address":"\(0x[0-9A-Fa-f]*\)".*/\1/'; }
agent=$(account agent.key)
owner=$(account owner.key)
token=$(token "$rpc" "$usdc" "$agent")
echo "treasury $agent, its treasurer $owner"

echo "== 2. a server: who may sign in, and what may be named"
cat >writ.yaml <<YAML
listen: 127.0.0.1:0
data: data
scheme: http
domain: localhost
agents: [treasurer]
policies: spend-with-approval
wallets: ["$owner"]
chain:
  id: 8453
  rpc: [$rpc]
  final: instant
  tokens: [{symbol: USDC, address: "$token", decimals: 6}]
  names: [{name: treasury, address: "$agent"}, {name: bob, address: "0x00000000000000000000000000000000000b0b00"}]
  key: file:agent.key
YAML
writ serve --config writ.yaml --ready-file ready 2>serve.log &
server=$!
while ! test -s ready; do
	kill -0 "$server" || { cat serve.log; exit 1; }
	sleep 0.1
done
operator=$(sed 's/.*"operator_key":"\([0-9a-f]*\)".*/\1/' ready)
writ login --server "$(sed 's/.*"url":"\([^"]*\)".*/\1/' ready)" --key file:owner.key --agent treasurer --yes 2>/dev/null

echo "== 3. a little is paid without asking"
writ run "send 1 USDC to bob"

echo "== 4. more waits for the wallet: this is refused, and not paid"
ask() {
	writ run --json "$1" >run.json 2>/dev/null || test $? = 20
	run=$(sed 's/.*"run":"\([a-z0-9]*\)".*/\1/' run.json)
}
ask "send 8 USDC to bob"
writ approve "$run" --reject "not this month" || true

echo "== 5. this is approved: the wallet signs exactly this payment"
ask "send 5 USDC to bob"
writ approve "$run" --yes
writ run "what is the USDC balance of treasury?"

echo "== 6. what happened is proven to a stranger"
writ export "$run" -o run.car --keys keys.json
writ verify run.car --keys keys.json --operator-key "$operator"
