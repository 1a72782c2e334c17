package main

import (
	"runtime"
	"runtime/debug"
	"unsafe"
)

// Memory between host and module. Two things are special about Go here:
//   - The host asks for memory while Go's runtime starts, too early for Go's allocator: until init has run it gets raw memory.
//   - The garbage collector reads the clock, which a module must not do while it gives memory to the host: so it does not run by
//     itself but in tidy, with which every export begins.

var started bool

// What the host was given, so that the collector leaves it alone: by address, until the export takes it.
var given = map[uint32][]uint64{}

// The texts and lists that the host is still reading: until the next call.
var held [][]byte

// How much there may be to collect.
var garbage uint32

const (
	garbageMax    = 16 << 20
	garbageOfCall = 4 << 10
)

func init() {
	debug.SetGCPercent(-1)
	started = true
}

func tidy() {
	held = held[:0]
	garbage += garbageOfCall
	if garbage > garbageMax {
		garbage = 0
		runtime.GC()
	}
}

//go:linkname sbrk runtime.sbrk
func sbrk(size uintptr) unsafe.Pointer

//go:wasmexport cabi_realloc
func realloc(old, oldSize, align, size uint32) uint32 {
	if !started {
		return uint32(uintptr(sbrk(uintptr(size))))
	}
	if size == 0 {
		return align
	}
	words := make([]uint64, (uint64(size)+7)/8)
	address := uint32(uintptr(unsafe.Pointer(&words[0])))
	if before, found := given[old]; found {
		copy(words, before)
		delete(given, old)
	}
	given[address] = words
	garbage += size
	return address
}

// The bytes that the host has put there. They are the module's now.
func bytesAt(address, length uint32) []byte {
	if length == 0 {
		return nil
	}
	words := given[address]
	delete(given, address)
	return unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), length)
}

func textAt(address, length uint32) string {
	return string(bytesAt(address, length))
}

// Where results lie that do not fit into one number.
var area [8]uint64

func result() uint32 {
	return uint32(uintptr(unsafe.Pointer(&area)))
}

func put[T any](offset uintptr, value T) {
	*(*T)(unsafe.Add(unsafe.Pointer(&area), offset)) = value
}

func putBytes(offset uintptr, bytes []byte) {
	held = append(held, bytes)
	put(offset, uint32(uintptr(unsafe.Pointer(unsafe.SliceData(bytes)))))
	put(offset+4, uint32(len(bytes)))
	garbage += uint32(len(bytes))
}

func putText(offset uintptr, text string) {
	putBytes(offset, unsafe.Slice(unsafe.StringData(text), len(text)))
}

// A result<list<u8>, string> or result<_, string>.
func outcome(bytes []byte, err error) uint32 {
	put(0, err != nil)
	if err != nil {
		putText(4, err.Error())
	} else {
		putBytes(4, bytes)
	}
	return result()
}
