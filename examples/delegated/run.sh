#!/bin/sh
# An agent pays from the user's own account, within a delegation that the chain enforces (ERC-7710): alice's account becomes
# a smart account, she signs once, the agent's account pays bob out of hers, she revokes on the chain, and a stranger
# verifies. It needs Go and nothing else: no network.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
server=
trap 'exec 2>/dev/null; test -z "$server" || { kill "$server" && wait "$server" || true; }; rm -rf "$work"' EXIT
cd "$here/../.."
bin=${TEST_BIN:-$work} # tests share what they compile
go build -o "$bin/" ./cmd/writ
go build -o "$work/" ./examples/delegated/wallet
cd "$work"
export WRIT_HOME="$work/home" PATH="$bin:$work:$PATH"
mkdir -p "$WRIT_HOME"

echo "== 1. alice signs in, and makes her account a smart account"
writ dev --listen 127.0.0.1:0 --data data --policies "$here/delegated.yaml" --agent-file "$here/clerk.yaml" --ready-file ready 2>dev.log &
server=$!
while ! test -s ready; do
	kill -0 "$server" || { cat dev.log; exit 1; }
	sleep 0.1
done
operator=$(sed 's/.*"operator_key":"\([0-9a-f]*\)".*/\1/' ready)
chain=$(sed 's/.*"chain":"\([^"]*\)".*/\1/' ready)
url=$(sed 's/.*"url":"\([^"]*\)".*/\1/' ready)
KEY=$(wallet key) writ login --server "$url" --key env:KEY --agent clerk --yes
wallet smart "$chain"

echo "== 2. without a delegation the agent can pay nothing from her account"
writ run "pay bob 5 USDC" || true

echo "== 3. she signs one, of what her grant allows, and the agent pays"
KEY=$(wallet key) writ mandate give --with env:KEY --yes --delegate "$(wallet agent)" --contract "$(wallet usdc)"
writ run "pay bob 5 USDC"
writ run "what is alice's USDC balance"
writ mandate ls
paid=$(writ runs ls --json | sed 's/},{/\n/g' | sed -n 's/.*"run":"\([a-z0-9]*\)".*/\1/p' | sed -n 2p)

echo "== 4. she revokes it on the chain, which the agent feels"
hash=$(writ mandate ls | sed -n '1s/ .*//p')
writ mandate revoke "$hash" --json >revoke.json
wallet revoke "$chain" <revoke.json
writ run "pay bob 1 USDC" || true
writ run "what is alice's USDC balance"

echo "== 5. what happened is proven to a stranger"
writ export "$paid" -o run.car --keys keys.json
writ verify run.car --keys keys.json --operator-key "$operator" --rpc "$chain"
writ verify run.car --keys keys.json --operator-key "$operator"
