// A counter that keeps its state when its code changes. What it exports is written in wit/; generated/ declares it in C.
#include "cbor.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static state_t state;

static void replace(state_t new) {
	module_option_string_free(&state.note);
	state = new;
}

int64_t exports_example_app_counter_increment(int64_t by) {
	state.count = (uint64_t)state.count + (uint64_t)by;
	return state.count;
}

int64_t exports_example_app_counter_get(void) { return state.count; }

// Arguments are the module's own; so it frees them. Results are the host's.
void exports_example_app_counter_greet(module_string_t *name, module_string_t *ret) {
	static const char greeting[] = "hello, ";
	size_t length = strlen(greeting);
	ret->len = length + name->len + 1;
	ret->ptr = malloc(ret->len);
	if (!ret->ptr) __builtin_trap();
	memcpy(ret->ptr, greeting, length);
	memcpy(ret->ptr + length, name->ptr, name->len);
	ret->ptr[ret->len - 1] = '!';
	module_string_free(name);
}

void exports_example_app_counter_summarize(exports_example_app_counter_summary_t *ret) {
	ret->count = state.count;
	ret->even = state.count % 2 == 0;
	ret->half = (double)state.count / 2;
	ret->note.is_some = state.note.is_some;
	if (state.note.is_some) module_string_dup_n(&ret->note.val, (char *)state.note.val.ptr, state.note.val.len);
}

bool exports_example_app_counter_take(exports_example_app_counter_step_t *step, module_string_t *err) {
	switch (step->tag) {
	case EXPORTS_EXAMPLE_APP_COUNTER_STEP_ADD:
		exports_example_app_counter_increment(step->val.add);
		break;
	case EXPORTS_EXAMPLE_APP_COUNTER_STEP_SET:
		state.count = step->val.set;
		break;
	case EXPORTS_EXAMPLE_APP_COUNTER_STEP_NOTE:
		if (step->val.note.len == 0) {
			module_string_dup(err, "a note is not empty");
			return false;
		}
		replace((state_t){.count = state.count, .note = {.is_some = true, .val = step->val.note}});
		break;
	case EXPORTS_EXAMPLE_APP_COUNTER_STEP_CLEAR:
		replace((state_t){0});
		break;
	}
	return true;
}

void exports_example_app_counter_mirror(
	exports_example_app_counter_scalars_t *scalars, exports_example_app_counter_scalars_t *ret) {
	*ret = *scalars;
}

void exports_example_app_counter_echo(module_list_u8_t *bytes, module_list_u8_t *ret) { *ret = *bytes; }

void exports_example_app_counter_grow(uint32_t length) {
	state_t new = {.count = state.count, .note = {.is_some = true, .val = {.ptr = malloc(length), .len = length}}};
	if (length > 0 && !new.note.val.ptr) __builtin_trap();
	for (uint32_t i = 0; i < length; i++) new.note.val.ptr[i] = 'a' + i % 26;
	replace(new);
}

void exports_example_app_counter_fail(void) { __builtin_trap(); }

void exports_example_app_counter_spin(void) {
	for (volatile int forever = 1; forever;)
		;
}

// The old version saves; the new one migrates. An error is `false`, with its text in `err`.
bool exports_wasmhot_module_lifecycle_save(
	exports_wasmhot_module_lifecycle_change_t *change, module_list_u8_t *ret, module_string_t *err) {
	exports_wasmhot_module_lifecycle_change_free(change);
	*ret = cbor_encode(&state);
	return true;
}

bool exports_wasmhot_module_lifecycle_migrate(
	exports_wasmhot_module_lifecycle_change_t *change, module_list_u8_t *bytes, module_string_t *err) {
	state_t new;
	bool readable = change->from.len >= 2 && memcmp(change->from.ptr, "1.", 2) == 0;
	// On a downgrade the newer version has written what this one reads.
	readable |= change->direction == EXPORTS_WASMHOT_MODULE_LIFECYCLE_DIRECTION_DOWNGRADE;
	const char *fault = readable ? cbor_decode(bytes, &new) : "states of 1.x can be read";
	if (fault) {
		char text[200];
		snprintf(text, sizeof text, "this state of %.*s is refused: %s", (int)change->from.len, change->from.ptr, fault);
		module_string_dup(err, text);
	} else
		replace(new);
	exports_wasmhot_module_lifecycle_change_free(change);
	module_list_u8_free(bytes);
	return !fault;
}

// Asked before a version gets calls.
bool exports_wasmhot_module_health_check(module_string_t *err) { return true; }
