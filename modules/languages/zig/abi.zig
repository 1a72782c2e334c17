//! Memory between host and module: a text or list is its address and its length.
const std = @import("std");
const gpa = @import("counter.zig").gpa;

/// Where results lie that do not fit into one number.
pub var area: [64]u8 align(8) = undefined;

/// What the host is still reading: until the next call.
var held: []u8 = &.{};

/// The host asks for memory for arguments. This allocator aligns by size, so nothing is lacking.
export fn cabi_realloc(old: usize, old_size: usize, _: usize, size: usize) usize {
    if (size == 0) return 0;
    const memory = gpa.realloc(bytesAt(old, old_size), size) catch @panic("no memory");
    return @intFromPtr(memory.ptr);
}

/// What the host has put there is the module's now.
pub fn bytesAt(address: usize, length: usize) []u8 {
    return if (length == 0) &.{} else @as([*]u8, @ptrFromInt(address))[0..length];
}

pub fn put(offset: usize, value: anytype) void {
    const place: *@TypeOf(value) = @ptrCast(@alignCast(&area[offset]));
    place.* = value;
}

/// Bytes that stay where they are.
pub fn putBytes(offset: usize, bytes: []const u8) *anyopaque {
    // An empty slice may point anywhere, an address must not.
    put(offset, if (bytes.len == 0) 0 else @intFromPtr(bytes.ptr));
    put(offset + 4, bytes.len);
    return &area;
}

/// Bytes that are freed when the host has read them.
pub fn give(offset: usize, bytes: []u8) *anyopaque {
    gpa.free(held);
    held = bytes;
    return putBytes(offset, bytes);
}

/// A result<_, string>.
pub fn outcome(fault: ?[]const u8) *anyopaque {
    put(0, fault != null);
    return putBytes(4, fault orelse "");
}
