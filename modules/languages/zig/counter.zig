//! A counter that keeps its state when its code changes. What it exports is written in wit/, and tied to these functions in exports.zig.
const std = @import("std");
const cbor = @import("cbor.zig");

/// Memory for everything.
pub const gpa = std.heap.wasm_allocator;

pub const State = struct {
    count: i64 = 0,
    note: ?[]u8 = null,

    pub fn deinit(old: State) void {
        if (old.note) |note| gpa.free(note);
    }
};

pub const Summary = struct { count: i64, even: bool, half: f64, note: ?[]const u8 };

/// A text is the callee's own.
pub const Step = union(enum) { add: i64, set: i64, note: []u8, clear };

pub const Scalars = struct { small: u8, signed: i16, medium: u32, large: u64, single: f32, double: f64, letter: u21, flag: bool };

pub const Direction = enum(u32) { upgrade, downgrade, restore };

pub const Change = struct { from: []u8, to: []u8, direction: Direction, extra: []u8 };

/// The text of an error, or null if there is none.
pub const Outcome = ?[]const u8;

var state: State = .{};

pub fn increment(by: i64) i64 {
    state.count +%= by;
    return state.count;
}

pub fn get() i64 {
    return state.count;
}

/// The text is the caller's own.
pub fn greet(name: []const u8) ![]u8 {
    return std.fmt.allocPrint(gpa, "hello, {s}!", .{name});
}

pub fn summarize() Summary {
    const half = @as(f64, @floatFromInt(state.count)) / 2;
    return .{ .count = state.count, .even = @mod(state.count, 2) == 0, .half = half, .note = state.note };
}

pub fn take(step: Step) Outcome {
    switch (step) {
        .add => |by| state.count +%= by,
        .set => |to| state.count = to,
        .note => |note| {
            if (note.len == 0) return "a note is not empty";
            replace(.{ .count = state.count, .note = note });
        },
        .clear => replace(.{}),
    }
    return null;
}

fn replace(new: State) void {
    state.deinit();
    state = new;
}

pub fn mirror(scalars: Scalars) Scalars {
    return scalars;
}

pub fn echo(bytes: []u8) []u8 {
    return bytes;
}

pub fn grow(length: u32) !void {
    const note = try gpa.alloc(u8, length);
    for (note, 0..) |*letter, place| letter.* = 'a' + @as(u8, @intCast(place % 26));
    replace(.{ .count = state.count, .note = note });
}

pub fn fail() noreturn {
    @panic("as asked");
}

pub fn spin() noreturn {
    while (true) {}
}

/// The old version saves; the new one migrates.
pub fn save(_: Change) ![]u8 {
    return cbor.encode(state);
}

pub fn migrate(change: Change, bytes: []const u8) !Outcome {
    // On a downgrade the newer version has written what this one reads.
    if (!std.mem.startsWith(u8, change.from, "1.") and change.direction != .downgrade)
        return try std.fmt.allocPrint(gpa, "states of 1.x can be read, not of {s}", .{change.from});
    const new = cbor.decode(bytes) catch |fault|
        return try std.fmt.allocPrint(gpa, "this is no state of {s}: {t}", .{ change.from, fault });
    replace(new);
    return null;
}

/// Asked before a version gets calls.
pub fn check() Outcome {
    return null;
}

comptime {
    _ = @import("exports.zig");
}
