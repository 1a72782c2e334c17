// A counter that keeps its state when its code changes. What it exports is written in wit/, and tied to these functions in exports.go.
package main

import (
	"errors"
	"fmt"
	"strings"
)

type State struct {
	Count int64
	Note  *string
}

var state State

func increment(by int64) int64 {
	state.Count += by
	return state.Count
}

func greet(name string) string {
	return fmt.Sprintf("hello, %s!", name)
}

func summarize() Summary {
	return Summary{
		Count: state.Count,
		Even:  state.Count%2 == 0,
		Half:  float64(state.Count) / 2,
		Note:  state.Note,
	}
}

func take(step Step) error {
	switch step.Kind {
	case Add:
		state.Count += step.Number
	case Set:
		state.Count = step.Number
	case Note:
		if step.Text == "" {
			return errors.New("a note is not empty")
		}
		state.Note = &step.Text
	case Clear:
		state = State{}
	}
	return nil
}

func mirror(scalars Scalars) Scalars {
	return scalars
}

func echo(bytes []byte) []byte {
	return bytes
}

func grow(length uint32) {
	const alphabet = "abcdefghijklmnopqrstuvwxyz"
	note := strings.Repeat(alphabet, int(length)/26+1)[:length]
	state.Note = &note
}

func fail() {
	panic("as asked")
}

func spin() {
	for {
	}
}

// The old version saves; the new one migrates.
func save(change Change) ([]byte, error) {
	return encode(state), nil
}

func migrate(change Change, bytes []byte) error {
	// On a downgrade the newer version has written what this one reads.
	if !strings.HasPrefix(change.From, "1.") && change.Direction != Downgrade {
		return fmt.Errorf("states of 1.x can be read, not of %s", change.From)
	}
	decoded, err := decode(bytes)
	if err != nil {
		return fmt.Errorf("this is no state of %s: %w", change.From, err)
	}
	state = decoded
	return nil
}

// Asked before a version gets calls.
func check() error {
	return nil
}

// The host calls exports only.
func main() {}
