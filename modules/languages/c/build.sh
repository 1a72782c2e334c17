#!/bin/sh
# Makes counter-1.0.0.wasm: ./build.sh [OUT_DIR]
set -eu
name=counter
version=1.0.0
mkdir -p "${1:-build}"
out=$(cd "${1:-build}" && pwd)
cd "$(dirname "$0")"

# WASI_CC: another clang for WASI, such as that of a WASI SDK.
# The host makes a component of it by the type that generated/module_component_type.o brings.
${WASI_CC:-clang-19 --target=wasm32-wasi} -mexec-model=reactor -Os -Wall -Wl,-s \
	counter.c cbor.c generated/module.c generated/module_component_type.o -o "$out/$name.new"
# In one step: clang writes twice where there is a wasm-opt, and the host would take both.
mv "$out/$name.new" "$out/$name-$version.wasm"
