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

# Zig as such, or as the Python package `ziglang` brings it.
zig=$(command -v zig || command -v python-zig)
"$zig" build-exe counter.zig -target wasm32-freestanding -O ReleaseSmall -fno-entry -rdynamic -fstrip \
	--cache-dir "$work/cache" -femit-bin="$work/core.wasm"
# The host makes a component of it by the type that is added here.
wasm-tools component embed wit --world module "$work/core.wasm" -o "$out/$name-$version.wasm"
