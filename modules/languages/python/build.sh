#!/bin/sh
# Makes counter-1.0.0.wasm: ./build.sh [OUT_DIR]
set -eu
name=counter
version=1.0.0
mkdir -p "${1:-build}"
out=$(cd "${1:-build}" && pwd)
cd "$(dirname "$0")"

componentize-py --wit-path wit --world module componentize counter --output "$out/$name-$version.wasm"
