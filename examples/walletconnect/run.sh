#!/bin/sh
# The page, and a server that knows its origin. Open what it prints in a browser; Ctrl-C ends it. It needs Go, Node and this
# folder's own packages: npm ci. PROJECT is the id of a project of Reown's.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
BUILD="node $here/build.mjs" exec "$here/../chat-browser/run.sh"
