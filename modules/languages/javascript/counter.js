// A counter that keeps its state when its code changes. What it exports is written in wit/.
import { decode, encode } from "./cbor.js";

let state = { count: 0, note: null };

// Numbers of WIT's s64 and u64 are JavaScript's numbers: exact up to 2^53.
export const counter = {
  increment(by) {
    state.count += by;
    return state.count;
  },
  get: () => state.count,
  greet: (name) => `hello, ${name}!`,
  summarize: () => ({
    count: state.count,
    even: state.count % 2 === 0,
    half: state.count / 2,
    note: state.note ?? undefined,
  }),
  take(step) {
    switch (step.tag) {
      case "add":
        state.count += step.val;
        break;
      case "set":
        state.count = step.val;
        break;
      case "note":
        if (step.val === "") throw "a note is not empty";
        state.note = step.val;
        break;
      case "clear":
        state = { count: 0, note: null };
        break;
    }
  },
  mirror: (scalars) => scalars,
  echo: (bytes) => bytes,
  grow(length) {
    const alphabet = "abcdefghijklmnopqrstuvwxyz";
    state.note = alphabet.repeat(Math.ceil(length / 26)).slice(0, length);
  },
  fail() {
    throw new Error("as asked");
  },
  spin() {
    for (;;);
  },
};

// What makes the module stateful: the old version saves, the new one migrates.
export const lifecycle = {
  save: (change) => encode(state),
  migrate(change, bytes) {
    // On a downgrade the newer version has written what this one reads.
    const readable = change.from.startsWith("1.") || change.direction === "downgrade";
    if (!readable) throw `states of 1.x can be read, not of ${change.from}`;
    try {
      state = decode(bytes);
    } catch (error) {
      throw `this is no state of ${change.from}: ${error.message}`;
    }
  },
};

// Asked before a version gets calls.
export const health = {
  check() {},
};
