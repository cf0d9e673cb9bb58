#!/bin/sh
# Each policy of this folder is looked at as a whole, passes its own tests, and has one small mistake after the other put into
# it, each of which a test must notice. Then one decides payments. It needs Go and nothing else: no network, no key.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
server=
trap 'exec 2>/dev/null; test -z "$server" || { kill "$server" && wait "$server"; } || true; rm -rf "$work"' EXIT
cd "$here/../.."
bin=${TEST_BIN:-$work} # tests share what they compile
go build -o "$bin/" ./cmd/writ
export WRIT_HOME="$work/home" PATH="$bin:$work:$PATH"
mkdir -p "$WRIT_HOME"
cd "$here"
for set in *.yaml; do
	echo "== $set"
	writ policy check "$set"
	writ policy test "$set"
	writ policy test --mutate --least 100 "$set" | tail -n 1
done

echo "== day-and-payee.yaml decides: bob gets 8 USDC a day"
writ dev --listen 127.0.0.1:0 --data "$work/data" --policies day-and-payee.yaml --ready-file "$work/ready" 2>"$work/dev.log" &
server=$!
while ! test -s "$work/ready"; do
	kill -0 "$server" || { cat "$work/dev.log"; exit 1; }
	sleep 0.1
done
writ run --yes-approve "send 5 USDC to bob"
writ run --yes-approve "send 3 USDC to bob"
status=0
writ run --yes-approve "send 0.5 USDC to bob" || status=$?
test "$status" = 5 # denied by the rule, though the wallet would have signed
