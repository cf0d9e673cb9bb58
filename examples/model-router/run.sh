#!/bin/sh
# Which model answers is a rule: what rules can answer costs nothing, questions go to the small model, orders to the large one, and
# if the small one fails the large one is asked. Two programs on this machine stand for the providers. It needs Go and nothing
# else: no network, no key.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
chain= models= server=
trap 'exec 2>/dev/null; for p in $server $models $chain; do kill "$p" && wait "$p" || true; done; rm -rf "$work"' EXIT
cd "$here/../.."
bin=${TEST_BIN:-$work} # tests share what they compile
go build -o "$bin/" ./cmd/writ
go build -o "$work/" ./examples/model-router/model
cd "$work"
export WRIT_HOME="$work/home" PATH="$bin:$work:$PATH"
mkdir -p "$WRIT_HOME"
await() { # a file that the program of a process id writes
	while ! test -s "$1"; do
		kill -0 "$2" || { cat ./*.log; exit 1; }
		sleep 0.1
	done
}
model "$work/overloaded" >models.url 2>models.log &
models=$!
writ devchain --addr 127.0.0.1:0 --ready-file chain.json >/dev/null 2>chain.log &
chain=$!
await models.url "$models"
await chain.json "$chain"

echo "== 1. the rules, with tests of their own, and what they say of three requests"
cat >writ.yaml <<YAML
data: data
listen: 127.0.0.1:0
chain: {rpc: [$(sed 's/.*"url":"\([^"]*\)".*/\1/' chain.json)]}
routes: $here/routes.yaml
models: # prices are nano-USD for 1,000,000 tokens
  - {kind: openai, name: small, model: small-1, url: $(cat models.url)/small/v1, price_in: 100000000, price_out: 400000000}
  - {kind: openai, name: premium, model: large-1, url: $(cat models.url)/premium/v1, price_in: 3000000000, price_out: 15000000000}
YAML
writ route check "$here/routes.yaml"
for request in "what is alice's USDC balance?" "how rich is alice, roughly?" "please send bob what he is owed"; do
	echo "-- $request"
	writ route explain "$request" --config writ.yaml
done

echo "== 2. the same, served"
writ serve --config writ.yaml --ready-file ready >/dev/null 2>server.log &
server=$!
await ready "$server"
url=$(sed 's/.*"url":"\([^"]*\)".*/\1/' ready)
operator=$(sed 's/.*"operator_key":"\([0-9a-f]*\)".*/\1/' ready)
writ wallet new wallet.key
writ login --server "$url" --key "file:wallet.key" --chain 1337 -y 2>login.txt
writ run "how rich is alice, roughly?"

echo "== 3. the small model's provider is overloaded"
touch overloaded
writ run --json "how rich is bob, roughly?" >run.json
sed 's/.*"said":"\([^"]*\)".*/\1/' run.json
run=$(sed 's/.*"run":"\([a-z0-9]*\)".*/\1/' run.json)

echo "== 4. what it cost, by the rule that chose"
writ costs --data data --by route

echo "== 5. an auditor chooses again, from the record alone"
writ export "$run" --out run.car --keys run.keys
writ verify run.car --keys run.keys --operator-key "$operator"
