#!/bin/sh
# A DAO's documents and its treasury on the dev chain: questions are answered without any model, each answer cites passages
# or blocks, and a stranger verifies it. It needs Go and nothing else: no network, no key.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
server= chain=
trap 'exec 2>/dev/null; for p in $server $chain; do kill "$p" && wait "$p" || true; done; rm -rf "$work"' EXIT
cd "$here/../.."
bin=${TEST_BIN:-$work} # tests share what they compile
go build -o "$bin/" ./cmd/writ
cd "$work"
export WRIT_HOME="$work/home" PATH="$bin:$work:$PATH"
mkdir -p "$WRIT_HOME"
await() { # FILE PROCESS LOG
	while ! test -s "$1"; do
		kill -0 "$2" || { cat "$3"; exit 1; }
		sleep 0.1
	done
}

echo "== 1. a chain and a server whose agent may search in documents"
writ devchain --addr 127.0.0.1:0 --ready-file chain.json >chain.log 2>&1 &
chain=$!
await chain.json "$chain" chain.log
WRIT_CHAIN_RPC=$(sed 's/.*"url":"\([^"]*\)".*/\1/' chain.json)
export WRIT_CHAIN_RPC
cat >writ.yaml <<YAML
agents: [$here/analyst.yaml]
policies: $here/rules.yaml
library: {on: true}
YAML
writ serve --config writ.yaml --data data --listen 127.0.0.1:0 --ready-file ready 2>server.log &
server=$!
await ready "$server" server.log
url=$(sed 's/.*"url":"\([^"]*\)".*/\1/' ready)
operator=$(sed 's/.*"operator_key":"\([0-9a-f]*\)".*/\1/' ready)

echo "== 2. the DAO's documents are taken in, for everyone; the server runs meanwhile"
writ docs add "$here/documents" --data data --source dao --integrity operator --everyone

echo "== 3. what is asked of them is answered by passages, and what is asked of the chain by a block"
key=0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d
export key
writ login --server "$url" --agent analyst --key env:key --yes
writ run --thread report "how much may audits cost?" --json >run.json
sed 's/.*"said":"\([^"]*\)".*/\1/' run.json
run=$(sed 's/.*"run":"\([a-z0-9]*\)".*/\1/' run.json)
writ run --thread report "what is agent's USDC balance?"
writ run "is there anything about zeppelins?" || test $? = 23

echo "== 4. a document is removed: the next question does not find it"
writ docs rm dao audits.html --data data
writ run "how much may audits cost?" >after.txt 2>/dev/null || test $? = 23
if grep -q "40 USDC" after.txt; then exit 1; fi

echo "== 5. what was found then is proven to a stranger"
writ export "$run" -o run.car --keys keys.json
writ verify run.car --keys keys.json --operator-key "$operator"
