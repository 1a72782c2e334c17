package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// The state as bytes: one CBOR map, {"count": integer, "note": text or null}, which every language can read.

const (
	unsigned = 0
	negative = 1
	text     = 3
	table    = 5
	null     = 0xf6
)

func encode(state State) []byte {
	bytes := appendText(appendHead(nil, table, 2), "count")
	if state.Count < 0 {
		bytes = appendHead(bytes, negative, uint64(-1-state.Count))
	} else {
		bytes = appendHead(bytes, unsigned, uint64(state.Count))
	}
	bytes = appendText(bytes, "note")
	if state.Note == nil {
		return append(bytes, null)
	}
	return appendText(bytes, *state.Note)
}

func decode(bytes []byte) (State, error) {
	reader := reader{rest: bytes}
	var state State
	seen := map[string]bool{}
	for left := reader.head(table); left > 0 && reader.err == nil; left-- {
		key := reader.text()
		seen[key] = true
		switch key {
		case "count":
			state.Count = reader.integer()
		case "note":
			state.Note = reader.optionalText()
		default:
			reader.fail(fmt.Errorf("there is no %q in it", key))
		}
	}
	if len(reader.rest) > 0 {
		reader.fail(errors.New("bytes are left over"))
	}
	if !seen["count"] || !seen["note"] {
		reader.fail(errors.New("a part is missing"))
	}
	return state, reader.err
}

// The first byte of a value has its type and says how long the number is that follows: always 8 bytes here.
func appendHead(bytes []byte, kind byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append(bytes, kind<<5|27), number)
}

func appendText(bytes []byte, value string) []byte {
	return append(appendHead(bytes, text, uint64(len(value))), value...)
}

// After the first error all that is read is empty.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

func (r *reader) take(length uint64) []byte {
	if length > uint64(len(r.rest)) {
		r.fail(errors.New("it ends too early"))
		return nil
	}
	taken := r.rest[:length]
	r.rest = r.rest[length:]
	return taken
}

func (r *reader) next() byte {
	if len(r.rest) == 0 {
		return null
	}
	return r.rest[0]
}

// The number in a head of this type.
func (r *reader) head(kind byte) uint64 {
	first := r.next()
	r.take(1)
	length := first & 31
	if first>>5 != kind || length > 27 {
		r.fail(fmt.Errorf("unexpected byte %d", first))
		return 0
	}
	if length < 24 {
		return uint64(length)
	}
	var number uint64
	for _, digit := range r.take(1 << (length - 24)) {
		number = number<<8 | uint64(digit)
	}
	return number
}

func (r *reader) integer() int64 {
	kind := byte(unsigned)
	if r.next()>>5 == negative {
		kind = negative
	}
	number := int64(r.head(kind))
	if number < 0 {
		r.fail(errors.New("the number is too large"))
	}
	if kind == negative {
		return -1 - number
	}
	return number
}

func (r *reader) text() string {
	bytes := r.take(r.head(text))
	if !utf8.Valid(bytes) {
		r.fail(errors.New("a text is not UTF-8"))
	}
	return string(bytes)
}

func (r *reader) optionalText() *string {
	if r.next() == null {
		r.take(1)
		return nil
	}
	value := r.text()
	return &value
}
