#!/bin/sh
# Prices from a feed on the chain: one is told with its block, one that is old is an error and no price. Names of the
# Ethereum Name Service are read both ways, and a stranger verifies. It needs Go and nothing else: no network, no key.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
server=
trap 'exec 2>/dev/null; test -z "$server" || { kill "$server" && wait "$server" || true; }; rm -rf "$work"' EXIT
cd "$here/../.."
bin=${TEST_BIN:-$work} # tests share what they compile
go build -o "$bin/" ./cmd/writ
go build -o "$work/" ./examples/prices/deploy
cd "$work"
export WRIT_HOME="$work/home" PATH="$bin:$work:$PATH"
mkdir -p "$WRIT_HOME"

echo "== 1. name a feed, and how old its newest update may be"
cat >writ.yaml <<YAML
tools:
  - price: {name: ETH-USD, feed: "$(deploy)", max_age: 1h15m}
YAML
writ tools ls

echo "== 2. run a server and an agent that has prices; the feed is deployed"
writ dev --listen 127.0.0.1:0 --data data --tools writ.yaml --agent-file "$here/trader.yaml" --ready-file ready 2>dev.log &
server=$!
while ! test -s ready; do
	kill -0 "$server" || { cat dev.log; exit 1; }
	sleep 0.1
done
operator=$(sed 's/.*"operator_key":"\([0-9a-f]*\)".*/\1/' ready)
chain=$(sed 's/.*"chain":"\([^"]*\)".*/\1/' ready)
deploy "$chain" new >/dev/null
writ login --agent trader
writ run --json "what is the price of ETH-USD" >run.json
cat run.json
run=$(sed 's/.*"run":"\([a-z0-9]*\)".*/\1/' run.json)

echo "== 3. the feed stops: there is no price"
deploy "$chain" old >/dev/null
writ run "what is the price of ETH-USD" && exit 1

echo "== 4. a name leads to an address, and an address goes by a name that leads back to it"
writ run "resolve alice.eth"
writ run "what name does bob go by"
writ run "resolve ab--alice.eth" && exit 1

echo "== 5. what happened is proven to a stranger"
writ export "$run" -o run.car --keys keys.json
writ verify run.car --keys keys.json --operator-key "$operator"
