#!/bin/sh
# A page that audits a file by itself: the code of writ-audit, as WebAssembly in a worker. Open what it prints in a browser; Ctrl-C
# ends it. It needs Go and nothing else.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
page=
trap 'exec 2>/dev/null; test -z "$page" || { kill "$page" && wait "$page" || true; }; rm -rf "$work"' EXIT
trap 'exit 0' INT TERM
cd "$here/../.."
mkdir "$work/page"
cp "$here"/index.html "$here"/*.js "$work/page/"
web/auditor/build.sh "$work/page"
go build -o "$work/" ./examples/chat-browser/serve
"$work/serve" "$work/page" >"$work/page.url" 2>"$work/page.log" &
page=$!
until test -s "$work/page.url"; do
	kill -0 "$page" || { cat "$work/page.log"; exit 1; }
	sleep 0.1
done
echo "open $(cat "$work/page.url") in a browser; Ctrl-C ends it"
wait "$page"
