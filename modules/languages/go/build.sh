#!/bin/sh
# Makes counter-1.0.0.wasm: ./build.sh [OUT_DIR]
set -eu
name=counter
version=1.0.0
mkdir -p "${1:-build}"
out=$(cd "${1:-build}" && pwd)
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# -checklinkname=0: abi.go uses a function of the runtime.
GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags='-s -w -checklinkname=0' -o "$work/core.wasm" .
# The host makes a component of it by the type that is added here.
wasm-tools component embed wit --world module "$work/core.wasm" -o "$out/$name-$version.wasm"
