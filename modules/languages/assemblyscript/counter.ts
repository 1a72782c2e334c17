// A counter that keeps its state when its code changes. What it exports is written in wit/, and tied to these functions in exports.ts.
// The language has no exceptions that can be caught: an error is returned as its text, and null is none.
import { decode, encode } from "./cbor";

export class State {
  count: i64 = 0;
  note: string | null = null;
}

export class Summary {
  constructor(
    public count: i64,
    public even: bool,
    public half: f64,
    public note: string | null,
  ) {}
}

export enum Kind { Add, Set, Note, Clear }

export class Step {
  constructor(public kind: Kind, public number: i64, public text: string) {}
}

export class Scalars {
  small: u8 = 0;
  signed: i16 = 0;
  medium: u32 = 0;
  large: u64 = 0;
  single: f32 = 0;
  double: f64 = 0;
  letter: u32 = 0;
  flag: bool = false;
}

export enum Direction { Upgrade, Downgrade, Restore }

export class Change {
  constructor(public from: string, public to: string, public direction: Direction, public extra: string) {}
}

let state = new State();

export function increment(by: i64): i64 {
  state.count += by;
  return state.count;
}

export function get(): i64 {
  return state.count;
}

export function greet(name: string): string {
  return `hello, ${name}!`;
}

export function summarize(): Summary {
  return new Summary(state.count, state.count % 2 == 0, <f64>state.count / 2, state.note);
}

export function take(step: Step): string | null {
  switch (step.kind) {
    case Kind.Add:
      state.count += step.number;
      break;
    case Kind.Set:
      state.count = step.number;
      break;
    case Kind.Note:
      if (step.text == "") return "a note is not empty";
      state.note = step.text;
      break;
    case Kind.Clear:
      state = new State();
      break;
  }
  return null;
}

export function mirror(scalars: Scalars): Scalars {
  return scalars;
}

export function echo(bytes: Uint8Array): Uint8Array {
  return bytes;
}

export function grow(length: u32): void {
  const alphabet = "abcdefghijklmnopqrstuvwxyz";
  state.note = alphabet.repeat(length / 26 + 1).substring(0, length);
}

export function fail(): void {
  throw new Error("as asked");
}

export function spin(): void {
  while (true) {}
}

// The old version saves; the new one migrates.
export function save(change: Change): Uint8Array {
  return encode(state);
}

export function migrate(change: Change, bytes: Uint8Array): string | null {
  // On a downgrade the newer version has written what this one reads.
  const readable = change.from.startsWith("1.") || change.direction == Direction.Downgrade;
  if (!readable) return `states of 1.x can be read, not of ${change.from}`;
  const decoded = decode(bytes);
  if (decoded === null) return `this is no state of ${change.from}`;
  state = decoded;
  return null;
}

// Asked before a version gets calls.
export function check(): string | null {
  return null;
}
