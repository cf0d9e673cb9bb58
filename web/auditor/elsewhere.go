//go:build !js || !wasm

package main

import "log"

func main() { log.Fatal("this is for a page: GOOS=js GOARCH=wasm go build, as build.sh does") }
