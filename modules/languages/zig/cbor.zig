//! The state as bytes: one CBOR map, {"count": integer, "note": text or null}, which every language can read.
const std = @import("std");
const counter = @import("counter.zig");
const State = counter.State;
const gpa = counter.gpa;

const Type = enum(u3) { unsigned = 0, negative = 1, text = 3, map = 5, _ };
const null_value = 0xf6;

pub fn encode(state: State) ![]u8 {
    var bytes: std.ArrayList(u8) = .empty;
    try head(&bytes, .map, 2);
    try text(&bytes, "count");
    if (state.count < 0)
        try head(&bytes, .negative, @intCast(-1 - state.count))
    else
        try head(&bytes, .unsigned, @intCast(state.count));
    try text(&bytes, "note");
    if (state.note) |note| try text(&bytes, note) else try bytes.append(gpa, null_value);
    return bytes.toOwnedSlice(gpa);
}

/// The first byte of a value has its type and says how long the number is that follows: always 8 bytes here.
fn head(bytes: *std.ArrayList(u8), kind: Type, number: u64) !void {
    try bytes.append(gpa, @as(u8, @intFromEnum(kind)) << 5 | 27);
    var digits: [8]u8 = undefined;
    std.mem.writeInt(u64, &digits, number, .big);
    try bytes.appendSlice(gpa, &digits);
}

fn text(bytes: *std.ArrayList(u8), value: []const u8) !void {
    try head(bytes, .text, value.len);
    try bytes.appendSlice(gpa, value);
}

pub fn decode(bytes: []const u8) !State {
    var reader: Reader = .{ .rest = bytes };
    var count: ?i64 = null;
    var note: ??[]const u8 = null;
    var left = try reader.head(.map);
    while (left > 0) : (left -= 1) {
        const key = try reader.text();
        if (std.mem.eql(u8, key, "count")) {
            count = try reader.integer();
        } else if (std.mem.eql(u8, key, "note")) {
            note = try reader.optionalText();
        } else return error.UnknownPart;
    }
    if (reader.rest.len > 0) return error.BytesLeftOver;
    const found = note orelse return error.PartMissing;
    return .{
        .count = count orelse return error.PartMissing,
        .note = if (found) |letters| try gpa.dupe(u8, letters) else null,
    };
}

const Reader = struct {
    rest: []const u8,

    fn take(reader: *Reader, length: u64) ![]const u8 {
        if (length > reader.rest.len) return error.EndsTooEarly;
        const at: usize = @intCast(length);
        defer reader.rest = reader.rest[at..];
        return reader.rest[0..at];
    }

    fn next(reader: *Reader) ?u8 {
        return if (reader.rest.len > 0) reader.rest[0] else null;
    }

    /// The number in a head of this type.
    fn head(reader: *Reader, kind: Type) !u64 {
        const first = (try reader.take(1))[0];
        const length: u5 = @truncate(first);
        if (first >> 5 != @intFromEnum(kind) or length > 27) return error.UnexpectedByte;
        if (length < 24) return length;
        var number: u64 = 0;
        for (try reader.take(@as(u64, 1) << (length - 24))) |digit| number = number << 8 | digit;
        return number;
    }

    fn integer(reader: *Reader) !i64 {
        const negative = (reader.next() orelse 0) >> 5 == 1;
        const number = std.math.cast(i64, try reader.head(if (negative) .negative else .unsigned)) orelse
            return error.NumberTooLarge;
        return if (negative) -1 - number else number;
    }

    fn text(reader: *Reader) ![]const u8 {
        const letters = try reader.take(try reader.head(.text));
        return if (std.unicode.utf8ValidateSlice(letters)) letters else error.NotUtf8;
    }

    fn optionalText(reader: *Reader) !?[]const u8 {
        if (reader.next() != null_value) return try reader.text();
        _ = try reader.take(1);
        return null;
    }
};
