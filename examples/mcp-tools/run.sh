#!/bin/sh
# Tools of one's own, from nothing to a verified run: a server of tools is added and accepted, an agent keeps notes with
# it, the wallet approves, and a stranger verifies. It needs Go and nothing else: no network, no key.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
server=
trap 'test -z "$server" || { kill "$server" && wait "$server" || true; }; rm -rf "$work"' EXIT
cd "$here/../.."
bin=${TEST_BIN:-$work} # tests share what they compile
go build -o "$bin/" ./cmd/writ
go build -o "$work/notes" ./examples/mcp-tools/notes
cd "$work"
export WRIT_HOME="$work/home" PATH="$bin:$work:$PATH"
mkdir -p "$WRIT_HOME"

echo "== 1. add the server, and accept what it says of its tools"
writ tools add notes --yes -- "$work/notes" "$work/notes.txt"

echo "== 2. say what is known of them: the one only reads; of the other nothing, so the wallet is asked"
cat >>writ.yaml <<'YAML'
      use:
        - {tool: add-note, as: notes.add, utterances: ["note {text}"]}
        - {tool: list-notes, as: notes.list, class: read, utterances: ["list my notes"]}
YAML
writ tools ls

echo "== 3. run a server and an agent that has them"
writ dev --listen 127.0.0.1:0 --data data --tools writ.yaml --agent-file "$here/clerk.yaml" --ready-file ready 2>dev.log &
server=$!
while ! test -s ready; do
	kill -0 "$server" || { cat dev.log; exit 1; }
	sleep 0.1
done
operator=$(sed 's/.*"operator_key":"\([0-9a-f]*\)".*/\1/' ready)
writ login --agent clerk

echo "== 4. its effects wait for the wallet"
writ run --json "note buy milk" >run.json || test $? = 20
run=$(sed 's/.*"run":"\([a-z0-9]*\)".*/\1/' run.json)
test ! -e notes.txt
writ approve "$run" --yes
writ run "list my notes"

echo "== 5. what happened is proven to a stranger"
writ export "$run" -o run.car --keys keys.json
writ verify run.car --keys keys.json --operator-key "$operator"
