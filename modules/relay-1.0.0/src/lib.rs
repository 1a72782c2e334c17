//! A relay, version 1.0.0: passes everything on to the mirror of another module.

use bindings::demo::mirror::mirror;
use bindings::exports::demo::relay::relay::{Colour, Guest, Nested, Point, Rights, Shape};

struct Relay;

wasmhot_guest::module! {
    name: "relay",
    world: "relay-world",
    exports: Relay,
}

impl Guest for Relay {
    fn bools(it: bool) -> bool {
        mirror::bools(it)
    }

    fn small(a: i8, b: u8, c: i16, d: u16) -> (i8, u8, i16, u16) {
        mirror::small(a, b, c, d)
    }

    fn large(a: i32, b: u32, c: i64, d: u64) -> (i32, u32, i64, u64) {
        mirror::large(a, b, c, d)
    }

    fn floats(a: f32, b: f64) -> (f32, f64) {
        mirror::floats(a, b)
    }

    fn chars(it: char) -> char {
        mirror::chars(it)
    }

    fn text(it: String) -> String {
        mirror::text(&it)
    }

    fn bytes(it: Vec<u8>) -> Vec<u8> {
        mirror::bytes(&it)
    }

    fn numbers(it: Vec<i64>) -> Vec<i64> {
        mirror::numbers(&it)
    }

    fn texts(it: Vec<String>) -> Vec<String> {
        mirror::texts(&it)
    }

    fn points(it: Vec<Point>) -> Vec<Point> {
        mirror::points(&it)
    }

    fn deep(it: Nested) -> Nested {
        mirror::deep(&it)
    }

    fn shapes(it: Vec<Shape>) -> Vec<Shape> {
        mirror::shapes(&it)
    }

    fn colours(it: Colour) -> Colour {
        mirror::colours(it)
    }

    fn allowed(it: Rights) -> Rights {
        mirror::allowed(it)
    }

    fn perhaps(it: Option<Option<String>>) -> Option<Option<String>> {
        mirror::perhaps(it.as_ref().map(|it| it.as_deref()))
    }

    fn whether(it: Result<Vec<u32>, Shape>) -> Result<Vec<u32>, Shape> {
        mirror::whether(it.as_deref())
    }

    fn neither(it: Result<(), ()>) -> Result<(), ()> {
        mirror::neither(it)
    }

    fn many(
        a: u64,
        b: u64,
        c: u64,
        d: u64,
        e: u64,
        f: u64,
        g: u64,
        h: u64,
        i: String,
        j: String,
        k: String,
        l: String,
        m: Point,
    ) -> Vec<(u64, String)> {
        mirror::many(a, b, c, d, e, f, g, h, &i, &j, &k, &l, &m)
    }

    fn nothing() {
        mirror::nothing();
    }
}
