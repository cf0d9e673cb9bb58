#!/bin/sh
# A WebAssembly module as a tool, by the CID of its bytes: an agent computes with it, and a stranger who has the file
# computes the result again and compares every byte. It needs Go and nothing else: no network, no key.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
server=
trap 'exec 2>/dev/null; test -z "$server" || { kill "$server" && wait "$server" || true; }; rm -rf "$work"' EXIT
cd "$here/../.."
bin=${TEST_BIN:-$work} # tests share what they compile
go build -o "$bin/" ./cmd/writ ./cmd/writ-audit
cd "$work"
export WRIT_HOME="$work/home" PATH="$bin:$work:$PATH"
mkdir -p "$WRIT_HOME"
cp "$here/split.wasm" "$here/split.schema.json" .

echo "== 1. look at the module: it imports nothing, so it gets its arguments and nothing else"
writ tools module split.wasm
cid=$(writ tools module --json split.wasm | sed 's/.*"module":"\([a-z0-9]*\)".*/\1/')
writ tools module split.wasm '{"cents": 1000, "people": 3}'

echo "== 2. make it a tool, by its CID"
cat >writ.yaml <<YAML
tools:
  - wasm:
      name: split.evenly
      module: split.wasm
      cid: $cid
      schema: split.schema.json
      about: Splits an amount in cents evenly between people, and says what is left.
      utterances: ["split {cents} cents between {people}"]
YAML
writ tools ls

echo "== 3. run a server and an agent that has it"
writ dev --listen 127.0.0.1:0 --data data --tools writ.yaml --agent-file "$here/host.yaml" --ready-file ready 2>dev.log &
server=$!
while ! test -s ready; do
	kill -0 "$server" || { cat dev.log; exit 1; }
	sleep 0.1
done
operator=$(sed 's/.*"operator_key":"\([0-9a-f]*\)".*/\1/' ready)
writ login --agent host
writ run --json "split 1000 cents between 3" >run.json
cat run.json
run=$(sed 's/.*"run":"\([a-z0-9]*\)".*/\1/' run.json)

echo "== 4. another module in its place is no tool: nobody has accepted it"
cp split.wasm other.wasm
printf '\000\004\003new' >>other.wasm # a section with a name, which changes nothing but the bytes
sed 's/split.wasm/other.wasm/' writ.yaml >other.yaml
writ tools ls --config other.yaml && exit 1

echo "== 5. what happened is proven to a stranger; one who has the module computes the result again"
writ export "$run" -o run.car --keys keys.json
writ-audit verify run.car --keys keys.json --operator-key "$operator" | grep "was not computed again"
writ-audit verify run.car --keys keys.json --operator-key "$operator" --module split.wasm
