#!/bin/sh
# The page with the AI SDK's useChat, and a server that knows its origin. Open what it prints in a browser; Ctrl-C ends it. It
# needs Go, Node and the packages of web/sdk: (cd web/sdk && npm ci).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
BUILD="node $here/../react-chat/build.mjs $here" exec "$here/../chat-browser/run.sh"
