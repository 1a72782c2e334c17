// The state as bytes: one CBOR map, {"count": integer, "note": text or null}, which every language can read.
import { State } from "./counter";

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const TEXT: u8 = 3;
const MAP: u8 = 5;
const NULL: u8 = 0xf6;

export function encode(state: State): Uint8Array {
  const writer = new Writer();
  writer.head(MAP, 2);
  writer.text("count");
  if (state.count < 0) writer.head(NEGATIVE, <u64>(-1 - state.count));
  else writer.head(UNSIGNED, <u64>state.count);
  writer.text("note");
  const note = state.note;
  if (note === null) writer.append([NULL]);
  else writer.text(note);
  return writer.bytes;
}

// The state in the bytes; null if they are none.
export function decode(bytes: Uint8Array): State | null {
  const reader = new Reader(bytes);
  const state = new State();
  let seen = 0;
  for (let left = reader.head(MAP); left > 0 && reader.good; left--) {
    const key = reader.text();
    if (key == "count") {
      state.count = reader.integer();
      seen |= 1;
    } else if (key == "note") {
      state.note = reader.optionalText();
      seen |= 2;
    } else {
      reader.good = false;
    }
  }
  return reader.good && reader.at == bytes.length && seen == 3 ? state : null;
}

class Writer {
  bytes: Uint8Array = new Uint8Array(0);

  append(more: u8[]): void {
    this.join(changetype<usize>(more.buffer), more.length);
  }

  // The first byte of a value has its type and says how long the number is that follows: always 8 bytes here.
  head(type: u8, number: u64): void {
    const head: u8[] = [(type << 5) | 27];
    for (let shift = 56; shift >= 0; shift -= 8) head.push(<u8>(number >> shift));
    this.append(head);
  }

  text(value: string): void {
    const utf8 = String.UTF8.encode(value);
    this.head(TEXT, utf8.byteLength);
    this.join(changetype<usize>(utf8), utf8.byteLength);
  }

  private join(address: usize, length: i32): void {
    const joined = new Uint8Array(this.bytes.length + length);
    joined.set(this.bytes);
    memory.copy(joined.dataStart + this.bytes.length, address, length);
    this.bytes = joined;
  }
}

// After the first fault it is not good any more, and all that is read is empty.
class Reader {
  at: i32 = 0;
  good: bool = true;

  constructor(private bytes: Uint8Array) {}

  peek(): u8 {
    return this.good && this.at < this.bytes.length ? this.bytes[this.at] : NULL;
  }

  // Where these bytes begin, which are skipped.
  take(length: u64): usize {
    const begin = this.bytes.dataStart + this.at;
    if (length > <u64>(this.bytes.length - this.at)) this.good = false;
    if (this.good) this.at += <i32>length;
    return begin;
  }

  // The number in a head of this type.
  head(type: u8): u64 {
    const first = this.peek();
    this.take(1);
    let length: u64 = first & 31;
    if (first >> 5 != type || length > 27) this.good = false;
    if (length < 24) return this.good ? length : 0;
    length = 1 << (length - 24);
    const begin = this.take(length);
    let number: u64 = 0;
    for (let digit: usize = 0; digit < <usize>length && this.good; digit++) number = (number << 8) | load<u8>(begin + digit);
    return number;
  }

  integer(): i64 {
    const type = this.peek() >> 5 == NEGATIVE ? NEGATIVE : UNSIGNED;
    const number = <i64>this.head(type);
    if (number < 0) this.good = false;
    return type == NEGATIVE ? -1 - number : number;
  }

  text(): string {
    const length = this.head(TEXT);
    const begin = this.take(length);
    if (!this.good) return "";
    const text = String.UTF8.decodeUnsafe(begin, <usize>length);
    // What is not UTF-8 was replaced, so it is not the same any more.
    const again = String.UTF8.encode(text);
    this.good = <u64>again.byteLength == length && memory.compare(changetype<usize>(again), begin, <usize>length) == 0;
    return text;
  }

  optionalText(): string | null {
    if (this.peek() != NULL) return this.text();
    this.take(1);
    return null;
  }
}
