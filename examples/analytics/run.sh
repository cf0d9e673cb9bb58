#!/bin/sh
# Analytics that stand on the chain: the transfers of a token are indexed from its first block on, an agent sums and ranks
# them, and a stranger verifies which blocks the figures are of. It needs Go and nothing else: no network, no key.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
server=
trap 'exec 2>/dev/null; test -z "$server" || { kill "$server" && wait "$server" || true; }; rm -rf "$work"' EXIT
cd "$here/../.."
bin=${TEST_BIN:-$work} # tests share what they compile
go build -o "$bin/" ./cmd/writ
cd "$work"
export WRIT_HOME="$work/home" PATH="$bin:$work:$PATH"
mkdir -p "$WRIT_HOME"

echo "== 1. name the events: every transfer of the dev chain's USDC, from block 0 on"
cat >writ.yaml <<YAML
tools:
  - index:
      name: usdc.transfers
      address: "0xB447Faf2460549aeD7C1B6b288ad1536475d9806"
      abi: $here/token.json
      event: Transfer
      from_block: 0
      amount: value
      asset: USDC
YAML
writ tools ls

echo "== 2. run a server and an agent that asks about them; a few transfers are made"
writ dev --listen 127.0.0.1:0 --data data --tools writ.yaml --agent-file "$here/analyst.yaml" --ready-file ready 2>dev.log &
server=$!
while ! test -s ready; do
	kill -0 "$server" || { cat dev.log; exit 1; }
	sleep 0.1
done
operator=$(sed 's/.*"operator_key":"\([0-9a-f]*\)".*/\1/' ready)
writ login --agent analyst
writ run "send 0.5 USDC to bob"
writ run "send 0.25 USDC to bob"

echo "== 3. what do they come to, in all, by who got them, and by day"
writ run "query the sum of usdc.transfers"
writ run "query the count of usdc.transfers every day"
writ run --json "query the sum of usdc.transfers by to" >run.json
run=$(sed 's/.*"run":"\([a-z0-9]*\)".*/\1/' run.json)
cat run.json

echo "== 4. what happened is proven to a stranger"
writ export "$run" -o run.car --keys keys.json
writ verify run.car --keys keys.json --operator-key "$operator"
