#!/bin/sh
# A contract wallet signs in: it is deployed, its owner signs the permission as the contract wants it (EIP-1271), the agent acts
# within it, a stranger verifies with the chain, and the permission ends when the contract does not stand by it any more. It needs
# Go and nothing else: no network, no key.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
server=
trap 'exec 2>/dev/null; test -z "$server" || { kill "$server" && wait "$server"; } || true; rm -rf "$work"' EXIT
cd "$here/../.."
bin=${TEST_BIN:-$work} # tests share what they compile
go build -o "$bin/" ./cmd/writ
go build -o "$work/" ./examples/smart-account-login/account
cd "$work"
export WRIT_HOME="$work/home" PATH="$bin:$work:$PATH"
mkdir -p "$WRIT_HOME"
writ dev --listen 127.0.0.1:0 --data data --ready-file ready 2>dev.log &
server=$!
while ! test -s ready; do
	kill -0 "$server" || { cat dev.log; exit 1; }
	sleep 0.1
done
url=$(sed 's/.*"url":"\([^"]*\)".*/\1/' ready)
chain=$(sed 's/.*"chain":"\([^"]*\)".*/\1/' ready)
operator=$(sed 's/.*"operator_key":"\([0-9a-f]*\)".*/\1/' ready)

echo "== 1. a contract wallet"
wallet=$(account deploy "$chain")
echo "$wallet"

echo "== 2. it signs in: the text is the same as for any account, the signature is the contract's to judge"
writ login --server "$url" --account "$wallet" --chain 1337 --print-message text --signature sig &
login=$!
while ! test -s text; do
	kill -0 "$login" || exit 1
	sleep 0.1
done
account sign text >sig.half
mv sig.half sig
wait "$login"

echo "== 3. the agent acts within it"
writ run "what is alice's USDC balance?"
writ run --json "send 0.5 USDC to bob" >run.json
run=$(sed 's/.*"run":"\([a-z0-9]*\)".*/\1/' run.json)

echo "== 4. a stranger asks the chain again, and not the server"
writ export "$run" --out run.car --keys run.keys
writ verify run.car --keys run.keys --operator-key "$operator" --rpc "$chain"

echo "== 5. the contract has another owner now, and what the first one signed is worth nothing"
account replace "$chain" "$wallet"
status=0
writ run "send 0.5 USDC to bob" || status=$?
echo "exit code $status"
test "$status" = 27
