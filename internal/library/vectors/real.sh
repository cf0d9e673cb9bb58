#!/usr/bin/env bash
# Real databases of vectors, and the tests that need them. They are run in a network of their own, in which there is
# nothing but loopback: Weaviate listens on every interface.
set -euo pipefail
cd "$(dirname "$0")" && self=$PWD/${0##*/}
store=${XDG_CACHE_HOME:-$HOME/.cache}/writ/indexes
mkdir -p "$store"
[ -x "$store/bin/weaviate-server" ] || GOBIN=$store/bin go install github.com/weaviate/weaviate/cmd/weaviate-server@v1.35.2 ||
  echo "Weaviate could not be built: it is left out" >&2
[ -d "$store/milvus" ] || { python3 -m venv "$store/milvus" && "$store/milvus/bin/pip" install -q milvus-lite==3.2.2 pymilvus; } ||
  echo "Milvus Lite could not be had: it is left out" >&2
go test -c -o "$store/vectors.test" .

run() {
  ip link set lo up
  data=$(mktemp -d)
  trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$data"' EXIT
  if [ -x "$store/bin/weaviate-server" ]; then
    PERSISTENCE_DATA_PATH=$data/weaviate DEFAULT_VECTORIZER_MODULE=none AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED=true \
      CLUSTER_HOSTNAME=n1 CLUSTER_ADVERTISE_ADDR=127.0.0.1 RAFT_BOOTSTRAP_EXPECT=1 DISABLE_TELEMETRY=true \
      "$store/bin/weaviate-server" --host 127.0.0.1 --port 18080 --scheme http >"$data/weaviate.log" 2>&1 &
    export WRIT_WEAVIATE=http://127.0.0.1:18080
  fi
  if [ -x "$store/milvus/bin/python" ]; then
    "$store/milvus/bin/python" milvus.py 19530 "$data/milvus.db" >"$data/milvus.log" 2>&1 &
    export WRIT_MILVUS=http://127.0.0.1:19530
  fi
  for port in 18080 19530; do
    for _ in $(seq 300); do (: </dev/tcp/127.0.0.1/$port) 2>/dev/null && break || sleep 0.2; done
  done
  sleep 5 # a Weaviate that listens is still choosing its leader
  "$store/vectors.test" -test.v -test.timeout 3h -test.run "${1:-TestPostgres|TestRealServers|TestRecall}" || {
    tail -n 20 "$data"/*.log
    return 1
  }
}

if [ "${WRIT_OWN_NETWORK:-}" = yes ]; then
  run "$@"
else
  WRIT_OWN_NETWORK=yes WRIT_RECALL=${WRIT_RECALL:-100000} exec unshare --net --map-root-user --user "$self" "$@"
fi
