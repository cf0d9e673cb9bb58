#!/bin/sh
# An HTTP interface as tools, from its OpenAPI document to a verified run: two of its operations are chosen, an agent orders
# with them, the wallet approves, and a stranger verifies. It needs Go and nothing else: no network, no key.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
server= shop=
trap 'exec 2>/dev/null; for p in $server $shop; do kill "$p" && wait "$p" || true; done; rm -rf "$work"' EXIT
cd "$here/../.."
bin=${TEST_BIN:-$work} # tests share what they compile
go build -o "$bin/" ./cmd/writ
go build -o "$work/shop" ./examples/openapi/shop
cd "$work"
export WRIT_HOME="$work/home" PATH="$bin:$work:$PATH" SHOP_TOKEN=a-token-that-no-model-sees
mkdir -p "$WRIT_HOME"
shop >shop.url 2>shop.log &
shop=$!
until test -s shop.url; do
	kill -0 "$shop" || { cat shop.log; exit 1; }
	sleep 0.1
done

echo "== 1. what the document offers"
writ tools operations "$here/shop.yaml"

echo "== 2. choose two operations: the one only reads, the other honours a key, and the wallet is asked"
cat >writ.yaml <<YAML
tools:
  - openapi:
      name: shop
      document: $here/shop.yaml
      url: $(cat shop.url)
      private: true # it is on this machine
      auth: {bearer: env:SHOP_TOKEN}
      use:
        - {tool: createOrder, as: shop.order, class: keyed, fields: [id, item, count], utterances: ["order {item}"]}
        - {tool: listOrders, as: shop.orders, class: read, fields: [orders.id, orders.item, orders.count], utterances: ["list my orders"]}
YAML
writ tools ls

echo "== 3. run a server and an agent that has them"
writ dev --listen 127.0.0.1:0 --data data --tools writ.yaml --agent-file "$here/buyer.yaml" --ready-file ready 2>dev.log &
server=$!
while ! test -s ready; do
	kill -0 "$server" || { cat dev.log; exit 1; }
	sleep 0.1
done
operator=$(sed 's/.*"operator_key":"\([0-9a-f]*\)".*/\1/' ready)
writ login --agent buyer

echo "== 4. the order waits for the wallet"
writ run --json "order lamps" >run.json || test $? = 20
run=$(sed 's/.*"run":"\([a-z0-9]*\)".*/\1/' run.json)
writ run "list my orders"
writ approve "$run" --yes
writ run "list my orders"

echo "== 5. what happened is proven to a stranger; the token is in no record"
writ export "$run" -o run.car --keys keys.json
if grep -q "$SHOP_TOKEN" run.car; then exit 1; fi
writ verify run.car --keys keys.json --operator-key "$operator"
