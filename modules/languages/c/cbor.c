#include "cbor.h"
#include <stdlib.h>
#include <string.h>

enum { UNSIGNED = 0, NEGATIVE = 1, TEXT = 3, MAP = 5, NONE = 0xf6 };

// Each value begins with a byte that has its type and says how long the number is that follows: always 8 bytes here.
enum { HEAD = 9, FIXED = 3 * HEAD + HEAD + 4 + 5 };

static uint8_t *put_head(uint8_t *to, uint8_t type, uint64_t number) {
	*to++ = type << 5 | 27;
	for (int shift = 56; shift >= 0; shift -= 8) *to++ = number >> shift;
	return to;
}

static uint8_t *put_text(uint8_t *to, const void *text, size_t length) {
	to = put_head(to, TEXT, length);
	memcpy(to, text, length);
	return to + length;
}

module_list_u8_t cbor_encode(const state_t *state) {
	size_t note_size = state->note.is_some ? HEAD + state->note.val.len : 1;
	uint8_t *bytes = malloc(FIXED + note_size);
	if (!bytes) __builtin_trap();
	uint8_t *to = put_head(bytes, MAP, 2);
	to = put_text(to, "count", 5);
	to = state->count < 0 ? put_head(to, NEGATIVE, -1 - state->count) : put_head(to, UNSIGNED, state->count);
	to = put_text(to, "note", 4);
	if (state->note.is_some)
		to = put_text(to, state->note.val.ptr, state->note.val.len);
	else
		*to++ = NONE;
	return (module_list_u8_t){.ptr = bytes, .len = to - bytes};
}

// After the first fault nothing is read any more.
typedef struct {
	const uint8_t *at, *end;
	const char *fault;
} reader_t;

static void fail(reader_t *reader, const char *fault) {
	if (!reader->fault) reader->fault = fault;
	reader->at = reader->end;
}

static const uint8_t *take(reader_t *reader, uint64_t length) {
	const uint8_t *taken = reader->at;
	if (length > (uint64_t)(reader->end - reader->at))
		fail(reader, "it ends too early");
	else
		reader->at += length;
	return taken;
}

static uint8_t peek(const reader_t *reader) { return reader->at < reader->end ? *reader->at : 0; }

// The number in a head of this type.
static uint64_t head(reader_t *reader, uint8_t type) {
	uint8_t first = peek(reader), length = first & 31;
	take(reader, 1);
	if (first >> 5 != type || length > 27) fail(reader, "unexpected byte");
	if (length < 24) return length;
	length = 1 << (length - 24);
	const uint8_t *digits = take(reader, length);
	uint64_t number = 0;
	for (int i = 0; i < length && !reader->fault; i++) number = number << 8 | digits[i];
	return number;
}

static int64_t integer(reader_t *reader) {
	bool negative = peek(reader) >> 5 == NEGATIVE;
	uint64_t number = head(reader, negative ? NEGATIVE : UNSIGNED);
	if (number > INT64_MAX) fail(reader, "the number is too large");
	return negative ? -1 - (int64_t)number : (int64_t)number;
}

// A letter is one byte, or a first one that says how many follow, each from 0x80 to 0xbf; of the second byte only some are right
// after 0xe0, 0xed, 0xf0 and 0xf4.
static bool is_utf8(const uint8_t *at, const uint8_t *end) {
	while (at < end) {
		uint8_t first = *at++;
		if (first < 0x80) continue;
		if (first < 0xc2 || first > 0xf4) return false;
		int more = 1 + (first >= 0xe0) + (first >= 0xf0);
		uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
		uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
		for (; more > 0; more--, low = 0x80, high = 0xbf, at++)
			if (at == end || *at < low || *at > high) return false;
	}
	return true;
}

typedef struct {
	const uint8_t *ptr;
	size_t len;
} text_t;

static text_t text(reader_t *reader) {
	uint64_t length = head(reader, TEXT);
	const uint8_t *begin = take(reader, length);
	if (reader->fault) return (text_t){0};
	if (!is_utf8(begin, reader->at)) fail(reader, "a text is not UTF-8");
	return (text_t){.ptr = begin, .len = length};
}

static bool is(text_t text, const char *other) {
	return text.len == strlen(other) && memcmp(text.ptr, other, text.len) == 0;
}

const char *cbor_decode(const module_list_u8_t *bytes, state_t *state) {
	reader_t reader = {.at = bytes->ptr, .end = bytes->ptr + bytes->len};
	bool has_count = false, has_note = false, is_some = false;
	int64_t count = 0;
	text_t note = {0};
	for (uint64_t left = head(&reader, MAP); left > 0 && !reader.fault; left--) {
		text_t key = text(&reader);
		if (is(key, "count")) {
			count = integer(&reader);
			has_count = true;
		} else if (is(key, "note")) {
			is_some = peek(&reader) != NONE;
			if (is_some)
				note = text(&reader);
			else
				take(&reader, 1);
			has_note = true;
		} else
			fail(&reader, "it has an unknown part");
	}
	if (reader.fault) return reader.fault;
	if (reader.at != reader.end) return "bytes are left over";
	if (!has_count || !has_note) return "a part is missing";
	*state = (state_t){.count = count, .note.is_some = is_some};
	if (is_some) module_string_dup_n(&state->note.val, (const char *)note.ptr, note.len);
	return NULL;
}
