#!/bin/sh
# The user's own wallet pays: alice signs in, an agent asks for a payment, her wallet sends it, the run finds it on the chain,
# and a stranger verifies. There is no key of hers on the server. It needs Go and nothing else: no network.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
server=
trap 'exec 2>/dev/null; test -z "$server" || { kill "$server" && wait "$server" || true; }; rm -rf "$work"' EXIT
cd "$here/../.."
bin=${TEST_BIN:-$work} # tests share what they compile
go build -o "$bin/" ./cmd/writ
go build -o "$work/" ./examples/wallet-pays/wallet
cd "$work"
export WRIT_HOME="$work/home" PATH="$bin:$work:$PATH"
mkdir -p "$WRIT_HOME"

echo "== 1. alice signs in with her own wallet"
writ dev --listen 127.0.0.1:0 --data data --policies "$here/own-wallet.yaml" --agent-file "$here/payer.yaml" --ready-file ready 2>dev.log &
server=$!
while ! test -s ready; do
	kill -0 "$server" || { cat dev.log; exit 1; }
	sleep 0.1
done
operator=$(sed 's/.*"operator_key":"\([0-9a-f]*\)".*/\1/' ready)
chain=$(sed 's/.*"chain":"\([^"]*\)".*/\1/' ready)
url=$(sed 's/.*"url":"\([^"]*\)".*/\1/' ready)
KEY=$(wallet key) writ login --server "$url" --key env:KEY --agent payer --yes

echo "== 2. the run waits for her wallet"
writ run "what is alice's USDC balance"
writ run "pay bob 5 USDC" >answer.txt 2>run.log &
asking=$!
until writ pay --json >asked.json && grep -q '"run"' asked.json; do
	kill -0 "$asking" || { cat run.log; exit 1; }
	sleep 0.1
done
writ pay

echo "== 3. her wallet sends it, and the run finds it on the chain"
wallet send "$chain" <asked.json >sent.txt
read -r run hash <sent.txt
writ pay "$run" --sent "$hash" || true # it may have found it before it is told
wait "$asking"
cat answer.txt
writ run "what is alice's USDC balance"

echo "== 4. what happened is proven to a stranger"
writ export "$run" -o run.car --keys keys.json
writ verify run.car --keys keys.json --operator-key "$operator"
