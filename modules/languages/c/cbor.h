// The state as bytes: one CBOR map, {"count": integer, "note": text or null}, which every language can read.
#pragma once
#include "generated/module.h"

typedef struct {
	int64_t count;
	module_option_string_t note;
} state_t;

// The bytes are the caller's own.
module_list_u8_t cbor_encode(const state_t *state);

// The fault in the bytes, or null if they are a state. Its note is the caller's own.
const char *cbor_decode(const module_list_u8_t *bytes, state_t *state);
