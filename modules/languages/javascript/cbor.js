// The state as bytes: one CBOR map, `{"count": integer, "note": text or null}`, which every language can read.

const UNSIGNED = 0, NEGATIVE = 1, TEXT = 3, MAP = 5, NULL = 0xf6;

export function encode({ count, note }) {
  const parts = [head(MAP, 2), ...text("count")];
  parts.push(count < 0 ? head(NEGATIVE, -1 - count) : head(UNSIGNED, count));
  parts.push(...text("note"), ...(note === null ? [[NULL]] : text(note)));
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

export function decode(bytes) {
  const reader = new Reader(bytes);
  const state = {};
  for (let left = reader.head(MAP); left > 0; left--) {
    const key = reader.text();
    if (key === "count") state.count = reader.integer();
    else if (key === "note") state.note = reader.peek() === NULL ? reader.null() : reader.text();
    else throw new Error(`there is no "${key}" in it`);
  }
  if (reader.at !== bytes.length) throw new Error("bytes are left over");
  if (!Number.isSafeInteger(state.count ?? 0)) throw new Error("the number is too large");
  if (state.count === undefined || state.note === undefined) throw new Error("a part is missing");
  return state;
}

// The first byte of a value has its type and says how long the number is that follows: always 8 bytes here.
function head(type, number) {
  const bytes = new Uint8Array(9);
  bytes[0] = (type << 5) | 27;
  new DataView(bytes.buffer).setBigUint64(1, BigInt(number));
  return bytes;
}

function text(value) {
  const bytes = toUtf8(value);
  return [head(TEXT, bytes.length), bytes];
}

// QuickJS has no TextEncoder; these are built in, so they are fast for large texts too.
const toUtf8 = (text) => Uint8Array.fromBase64(btoa(unescape(encodeURIComponent(text))));
const fromUtf8 = (bytes) => decodeURIComponent(escape(atob(bytes.toBase64())));

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  peek() {
    return this.bytes[this.at];
  }

  take(length) {
    if (length > this.bytes.length - this.at) throw new Error("it ends too early");
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  // The number in a head of this type.
  head(type) {
    const [first] = this.take(1);
    const length = first & 31;
    if (first >> 5 !== type || length > 27) throw new Error(`unexpected byte ${first}`);
    if (length < 24) return length;
    return this.take(1 << (length - 24)).reduce((number, byte) => number * 256 + byte, 0);
  }

  integer() {
    return this.peek() >> 5 === NEGATIVE ? -1 - this.head(NEGATIVE) : this.head(UNSIGNED);
  }

  text() {
    return fromUtf8(this.take(this.head(TEXT)));
  }

  null() {
    this.take(1);
    return null;
  }
}
