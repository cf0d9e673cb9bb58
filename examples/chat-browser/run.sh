#!/bin/sh
# A page of a dApp of its own origin, and a server that knows it. Open what it prints in a browser; Ctrl-C ends it. It needs Go
# and nothing else: no network, no key, no build of JavaScript. BUILD, a command that is given a folder, makes another page.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
server= page=
trap 'exec 2>/dev/null; for p in $server $page; do kill "$p" && wait "$p" || true; done; rm -rf "$work"' EXIT
trap 'exit 0' INT TERM
cd "$here/../.."
bin=${TEST_BIN:-$work} # tests share what they compile
go build -o "$bin/" ./cmd/writ
go build -o "$work/" ./examples/chat-browser/serve
mkdir -p "$work/page" "$work/home"
${BUILD:-cp "$here/index.html" "$here/chat.js"} "$work/page"
cp -r web/sdk/dist "$work/page/writ-sdk"
cd "$work"
./serve page >page.url 2>page.log &
page=$!
until test -s page.url; do
	kill -0 "$page" || { cat page.log; exit 1; }
	sleep 0.1
done
WRIT_HOME="$work/home" "$bin/writ" dev --listen 127.0.0.1:0 --data data --dapp "$(cat page.url)=$here/dapp.yaml" --ready-file ready >dev.log 2>&1 &
server=$!
while ! test -s ready; do
	kill -0 "$server" || { cat dev.log; exit 1; }
	sleep 0.1
done
sed 's/.*"url":"\([^"]*\)".*/{"server":"\1","chain":1337}/' ready >page/writ.json
echo "open $(cat page.url) in a browser; Ctrl-C ends it"
wait "$server"
