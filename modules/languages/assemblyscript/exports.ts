// The exports of wit/, by the canonical ABI: what does not fit into one number is returned in memory, at the offsets written here.
// Change this file together with wit/counter.wit. names.mjs makes `example:app/counter#take` of `counter_take`.
import { area, bytesAt, putBytes, putError, putText, textAt } from "./abi";
import * as counter from "./counter";

export { cabi_realloc } from "./abi";

export function counter_increment(by: i64): i64 {
  return counter.increment(by);
}

export function counter_get(): i64 {
  return counter.get();
}

export function counter_greet(name: usize, nameLength: usize): usize {
  return putText(0, counter.greet(textAt(name, nameLength)));
}

export function counter_summarize(): usize {
  const summary = counter.summarize();
  store<i64>(area, summary.count);
  store<bool>(area + 8, summary.even);
  store<f64>(area + 16, summary.half);
  const note = summary.note;
  store<bool>(area + 24, note !== null);
  if (note !== null) putText(28, note);
  return area;
}

export function counter_take(kind: i32, number: i64, length: usize): usize {
  const text = kind == counter.Kind.Note ? textAt(<usize>number, length) : "";
  return putError(counter.take(new counter.Step(kind, number, text)));
}

export function counter_mirror(
  small: u32, signed: i32, medium: u32, large: u64, single: f32, double: f64, letter: u32, flag: bool,
): usize {
  const given: counter.Scalars = { small: <u8>small, signed: <i16>signed, medium, large, single, double, letter, flag };
  const scalars = counter.mirror(given);
  store<u8>(area, scalars.small);
  store<i16>(area + 2, scalars.signed);
  store<u32>(area + 4, scalars.medium);
  store<u64>(area + 8, scalars.large);
  store<f32>(area + 16, scalars.single);
  store<f64>(area + 24, scalars.double);
  store<u32>(area + 32, scalars.letter);
  store<bool>(area + 36, scalars.flag);
  return area;
}

export function counter_echo(bytes: usize, length: usize): usize {
  return putBytes(0, counter.echo(bytesAt(bytes, length)));
}

export function counter_grow(length: u32): void {
  counter.grow(length);
}

export function counter_fail(): void {
  counter.fail();
}

export function counter_spin(): void {
  counter.spin();
}

export function lifecycle_save(
  from: usize, fromLength: usize, to: usize, toLength: usize, direction: i32, extra: usize, extraLength: usize,
): usize {
  const change = new counter.Change(textAt(from, fromLength), textAt(to, toLength), direction, textAt(extra, extraLength));
  store<u8>(area, 0);
  return putBytes(4, counter.save(change));
}

export function lifecycle_migrate(
  from: usize, fromLength: usize, to: usize, toLength: usize, direction: i32, extra: usize, extraLength: usize,
  bytes: usize, length: usize,
): usize {
  const change = new counter.Change(textAt(from, fromLength), textAt(to, toLength), direction, textAt(extra, extraLength));
  return putError(counter.migrate(change, bytesAt(bytes, length)));
}

export function health_check(): usize {
  return putError(counter.check());
}
