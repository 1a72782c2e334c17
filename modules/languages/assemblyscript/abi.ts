// Memory between host and module: a text or list is its address and its length.

// Where results lie that do not fit into one number.
export const area = memory.data(64, 8);

// The text or list that the host is still reading: until the next call.
let held: usize = 0;

// The host asks for memory for arguments.
export function cabi_realloc(old: usize, oldSize: usize, align: usize, size: usize): usize {
  return old ? heap.realloc(old, size) : heap.alloc(size);
}

// What the host has put there is the module's now.
export function bytesAt(address: usize, length: usize): Uint8Array {
  const bytes = new Uint8Array(<i32>length);
  memory.copy(bytes.dataStart, address, length);
  if (length) heap.free(address);
  return bytes;
}

export function textAt(address: usize, length: usize): string {
  const text = String.UTF8.decodeUnsafe(address, length);
  if (length) heap.free(address);
  return text;
}

export function putBytes(offset: usize, bytes: Uint8Array): usize {
  const address = hold(offset, bytes.length);
  memory.copy(address, bytes.dataStart, bytes.length);
  return area;
}

export function putText(offset: usize, text: string): usize {
  const length = String.UTF8.byteLength(text);
  const address = hold(offset, length);
  String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, address);
  return area;
}

// A result<_, string>.
export function putError(error: string | null): usize {
  store<u8>(area, error !== null);
  if (error !== null) putText(4, error);
  return area;
}

function hold(offset: usize, length: i32): usize {
  if (held) heap.free(held);
  held = heap.alloc(length);
  store<u32>(area + offset, <u32>held);
  store<u32>(area + offset + 4, length);
  return held;
}
