#!/bin/sh
# Builds the auditor for pages into a folder: auditor.wasm.gz, and auditor.js, the worker that runs it, which begins with the
# wasm_exec.js of the same Go.
set -eu
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
# -l leaves functions in one place: a seventh smaller, and some slower.
GOOS=js GOARCH=wasm "${GO:-go}" build -trimpath -gcflags=all=-l -ldflags='-s -w' -o "$out/auditor.wasm" ./web/auditor
gzip -9nf "$out/auditor.wasm"
cat "$("${GO:-go}" env GOROOT)/lib/wasm/wasm_exec.js" web/auditor/worker.js >"$out/auditor.js"
