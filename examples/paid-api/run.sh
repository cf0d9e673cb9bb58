#!/bin/sh
# Buying from a server of the web by x402, from an offer to a verified run: an agent asks what a forecast costs, the wallet
# approves, it is paid and read; then three servers that are not honest. It needs Go and nothing else: no network, no key.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
server= shop=
trap 'exec 2>/dev/null; for p in $server $shop; do kill "$p" && wait "$p" || true; done; rm -rf "$work"' EXIT
cd "$here/../.."
bin=${TEST_BIN:-$work} # tests share what they compile
go build -o "$bin/" ./cmd/writ
go build -o "$work/" ./examples/paid-api/shop
cd "$work"
export WRIT_HOME="$work/home" PATH="$bin:$work:$PATH"
mkdir -p "$WRIT_HOME"

echo "== 1. say where may be bought, and for how much a call"
cat >writ.yaml <<YAML
tools:
  - paid:
      name: market
      hosts: [127.0.0.1]
      private: true # it is on this machine
      max: [0.02 USDC]
      window: 15s
YAML
writ tools ls

echo "== 2. run a server with an agent that buys, and a shop on the same chain"
writ dev --listen 127.0.0.1:0 --data data --tools writ.yaml --agent-file "$here/buyer.yaml" --ready-file ready 2>dev.log &
server=$!
while ! test -s ready; do
	kill -0 "$server" || { cat dev.log; exit 1; }
	sleep 0.1
done
operator=$(sed 's/.*"operator_key":"\([0-9a-f]*\)".*/\1/' ready)
chain=$(sed 's/.*"chain":"\([^"]*\)".*/\1/' ready)
shop "$chain" >shop.url 2>shop.log &
shop=$!
while ! test -s shop.url; do
	kill -0 "$shop" || { cat shop.log; exit 1; }
	sleep 0.1
done
url=$(cat shop.url)
writ login --agent buyer

echo "== 3. what it costs is asked, and paid once the wallet has approved"
writ run "show the price of $url/forecast"
buy() {
	writ run --json "buy $url/$1 for 0.01 USDC from bob" >run.json || test $? = 20
	run=$(sed 's/.*"run":"\([a-z0-9]*\)".*/\1/' run.json)
	writ approve "$run" --yes
}
buy forecast
good=$run

echo "== 4. one that takes the money and fails was paid, and one that wants more by then is not"
buy broken
writ run "show the price of $url/greedy"
buy greedy || true

echo "== 5. one that says that it was paid and takes nothing was not: the chain says so once the payment is over"
buy liar || true

echo "== 6. what was bought is proven to a stranger, with offer, payment and receipt"
writ export "$good" -o run.car --keys keys.json
writ verify run.car --keys keys.json --operator-key "$operator" --rpc "$chain"
