#!/bin/sh
# The read request and the approved transfer through writ, answered by the model at WRIT_MODEL_URL (model.sh sets it).
# It prints what each run did and says, exports both, and lets the auditor check them. How well the model answers is a
# finding; only what writ promises can fail here.
set -eu
cd "$(dirname "$0")/../.."
dir=$(mktemp -d)
go build -o "$dir/" ./cmd/writ ./cmd/writ-audit
WRIT_HOME=$dir/home && export WRIT_HOME
"$dir/writ" dev --listen 127.0.0.1:0 --data "$dir/data" --ready-file "$dir/ready" --model-constrained \
	--model "$WRIT_MODEL_URL" --model-name "$WRIT_MODEL_NAME" 2>"$dir/dev.log" &
dev=$!
trap 'kill -INT $dev 2>/dev/null; wait $dev 2>/dev/null; rm -rf "$dir"' EXIT
until [ -s "$dir/ready" ]; do
	kill -0 $dev || { cat "$dir/dev.log" >&2; exit 1; }
	sleep 0.2
done
for request in "what is alice's USDC balance?" "send 5 USDC to bob"; do
	echo
	echo "you: $request"
	"$dir/writ" run --yes-approve "$request" 2>"$dir/steps" || echo "(ended with code $?)"
	sed -n '/^ *[0-9]* bafy/p' "$dir/steps"
	run=$(sed -n 's/^run \(bafy[a-z0-9]*\)$/\1/p' "$dir/steps" | head -1)
	"$dir/writ" export "$run" --out "$dir/run.car" --keys "$dir/run.keys.json" >/dev/null
	"$dir/writ-audit" verify "$dir/run.car" --keys "$dir/run.keys.json" --operator-key "$dir/data/operator.pub" | grep -E '^(answered|VERIFIED|FAILED)'
	rm -f "$dir/run.car" "$dir/run.keys.json"
done
