//! The exports of wit/, by the canonical ABI: what does not fit into one number is returned in memory, at the offsets written here.
//! Change this file together with wit/counter.wit.
const abi = @import("abi.zig");
const counter = @import("counter.zig");
const gpa = counter.gpa;
const bytesAt = abi.bytesAt;

export fn @"example:app/counter#increment"(by: i64) i64 {
    return counter.increment(by);
}

export fn @"example:app/counter#get"() i64 {
    return counter.get();
}

export fn @"example:app/counter#greet"(name: usize, name_length: usize) *anyopaque {
    const given = bytesAt(name, name_length);
    defer gpa.free(given);
    return abi.give(0, counter.greet(given) catch @panic("no memory"));
}

export fn @"example:app/counter#summarize"() *anyopaque {
    const summary = counter.summarize();
    abi.put(0, summary.count);
    abi.put(8, summary.even);
    abi.put(16, summary.half);
    abi.put(24, summary.note != null);
    return abi.putBytes(28, summary.note orelse "");
}

export fn @"example:app/counter#take"(kind: u32, number: i64, length: usize) *anyopaque {
    return abi.outcome(counter.take(switch (kind) {
        0 => .{ .add = number },
        1 => .{ .set = number },
        2 => .{ .note = bytesAt(@intCast(number), length) },
        else => .clear,
    }));
}

export fn @"example:app/counter#mirror"(small: u32, signed: i32, medium: u32, large: u64, single: f32, double: f64, letter: u32, flag: u32) *anyopaque {
    const scalars = counter.mirror(.{
        .small = @intCast(small),
        .signed = @intCast(signed),
        .medium = medium,
        .large = large,
        .single = single,
        .double = double,
        .letter = @intCast(letter),
        .flag = flag != 0,
    });
    abi.put(0, scalars.small);
    abi.put(2, scalars.signed);
    abi.put(4, scalars.medium);
    abi.put(8, scalars.large);
    abi.put(16, scalars.single);
    abi.put(24, scalars.double);
    abi.put(32, @as(u32, scalars.letter));
    abi.put(36, scalars.flag);
    return &abi.area;
}

export fn @"example:app/counter#echo"(bytes: usize, length: usize) *anyopaque {
    return abi.give(0, counter.echo(bytesAt(bytes, length)));
}

export fn @"example:app/counter#grow"(length: u32) void {
    counter.grow(length) catch @panic("no memory");
}

export fn @"example:app/counter#fail"() void {
    counter.fail();
}

export fn @"example:app/counter#spin"() void {
    counter.spin();
}

export fn @"wasmhot:module/lifecycle@0.1.0#save"(from: usize, from_length: usize, to: usize, to_length: usize, direction: u32, extra: usize, extra_length: usize) *anyopaque {
    const change = changeAt(from, from_length, to, to_length, direction, extra, extra_length);
    defer forget(change);
    abi.put(0, false);
    return abi.give(4, counter.save(change) catch @panic("no memory"));
}

export fn @"wasmhot:module/lifecycle@0.1.0#migrate"(from: usize, from_length: usize, to: usize, to_length: usize, direction: u32, extra: usize, extra_length: usize, bytes: usize, length: usize) *anyopaque {
    const change = changeAt(from, from_length, to, to_length, direction, extra, extra_length);
    defer forget(change);
    const state = bytesAt(bytes, length);
    defer gpa.free(state);
    return abi.outcome(counter.migrate(change, state) catch @panic("no memory"));
}

export fn @"wasmhot:module/health@0.1.0#check"() *anyopaque {
    return abi.outcome(counter.check());
}

fn changeAt(from: usize, from_length: usize, to: usize, to_length: usize, direction: u32, extra: usize, extra_length: usize) counter.Change {
    return .{
        .from = bytesAt(from, from_length),
        .to = bytesAt(to, to_length),
        .direction = @enumFromInt(direction),
        .extra = bytesAt(extra, extra_length),
    };
}

fn forget(change: counter.Change) void {
    gpa.free(change.from);
    gpa.free(change.to);
    gpa.free(change.extra);
}
