#!/bin/sh
# Checks every run of a folder: ci.sh OPERATOR_KEY FOLDER. Each NAME.car has its NAME.keys.json beside it.
# The operator's key comes from the CI's settings, never from the folder.
set -eu
tool=$(mktemp -d)
trap 'rm -rf "$tool"' EXIT
go build -C "$(dirname "$0")" -o "$tool/auditor" .
for car in "$2"/*.car; do
	echo "== $car"
	"$tool/auditor" "$1" "$car" "${car%.car}.keys.json"
done
