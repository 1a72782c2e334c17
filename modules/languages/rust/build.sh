#!/bin/sh
# Makes counter-1.0.0.wasm: ./build.sh [OUT_DIR]
set -eu
name=counter
mkdir -p "${1:-build}"
out=$(cd "${1:-build}" && pwd)
cd "$(dirname "$0")"
version=$(sed -n '/^version/s/.*"\(.*\)"/\1/p' Cargo.toml)

cargo build --release --target wasm32-wasip2 --target-dir "${CARGO_TARGET_DIR:-target}"
cp "${CARGO_TARGET_DIR:-target}/wasm32-wasip2/release/$(echo "$name" | tr - _).wasm" "$out/$name-$version.wasm"
