#!/bin/sh
# Makes counter-1.0.0.wasm: ./build.sh [OUT_DIR]
set -eu
name=counter
version=1.0.0
mkdir -p "${1:-build}"
out=$(cd "${1:-build}" && pwd)
cd "$(dirname "$0")"

# The host makes a component of it by the type that is added here.
wasm-tools component embed wit --world module counter.wat -o "$out/$name-$version.wasm"
