#!/bin/sh
# A server program that holds a session key: the wallet signs once, then the program asks, is started anew, asks again, waits
# where the wallet must approve, is refused what the wallet did not allow, and ends its session. It needs Go and Node 20: no
# network, no key, no packages.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
server=
trap 'exec 2>/dev/null; test -z "$server" || { kill "$server" && wait "$server"; } || true; rm -rf "$work"' EXIT
cd "$here/../.."
bin=${TEST_BIN:-$work} # tests share what they compile
go build -o "$bin/" ./cmd/writ
cd "$work"
export WRIT_HOME="$work/home"
mkdir -p "$WRIT_HOME"
"$bin/writ" dev --listen 127.0.0.1:0 --data data --ready-file ready 2>dev.log &
server=$!
while ! test -s ready; do
	kill -0 "$server" || { cat dev.log; exit 1; }
	sleep 0.1
done
url=$(sed 's/.*"url":"\([^"]*\)".*/\1/' ready)
backend() { node "$here/backend.mjs" "$url" "$@"; }

echo "== 1. the program makes a key, and the user's wallet signs what it may do"
account=$(node "$here/user.mjs" data/dev-wallet.key address)
node "$here/user.mjs" data/dev-wallet.key &
user=$!
backend sign-in "$account" 1337
wait "$user"
ls -l session.json | cut -c1-10

echo "== 2. each start of the program takes the session up again"
backend ask "what is alice's USDC balance?"
backend ask "send 0.5 USDC to bob"

echo "== 3. what the wallet must approve waits for it, and what it did not allow is refused"
status=0
backend ask "send 2 USDC to bob" || status=$?
test "$status" = 20
if backend ask "send 9 USDC to bob"; then exit 1; fi

echo "== 4. a session that is over is good for nothing"
backend revoke
if backend ask "what is alice's USDC balance?"; then exit 1; fi
