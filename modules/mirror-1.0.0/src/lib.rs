//! A mirror, version 1.0.0: gives back what it gets.

use bindings::exports::demo::mirror::mirror::{Colour, Guest, Nested, Point, Rights, Shape};

struct Mirror;

wasmhot_guest::module! {
    name: "mirror",
    world: "mirror-world",
    exports: Mirror,
}

impl Guest for Mirror {
    fn bools(it: bool) -> bool {
        it
    }

    fn small(a: i8, b: u8, c: i16, d: u16) -> (i8, u8, i16, u16) {
        (a, b, c, d)
    }

    fn large(a: i32, b: u32, c: i64, d: u64) -> (i32, u32, i64, u64) {
        (a, b, c, d)
    }

    fn floats(a: f32, b: f64) -> (f32, f64) {
        (a, b)
    }

    fn chars(it: char) -> char {
        it
    }

    fn text(it: String) -> String {
        it
    }

    fn bytes(it: Vec<u8>) -> Vec<u8> {
        it
    }

    fn numbers(it: Vec<i64>) -> Vec<i64> {
        it
    }

    fn texts(it: Vec<String>) -> Vec<String> {
        it
    }

    fn points(it: Vec<Point>) -> Vec<Point> {
        it
    }

    fn deep(it: Nested) -> Nested {
        it
    }

    fn shapes(it: Vec<Shape>) -> Vec<Shape> {
        it
    }

    fn colours(it: Colour) -> Colour {
        it
    }

    fn allowed(it: Rights) -> Rights {
        it
    }

    fn perhaps(it: Option<Option<String>>) -> Option<Option<String>> {
        it
    }

    fn whether(it: Result<Vec<u32>, Shape>) -> Result<Vec<u32>, Shape> {
        it
    }

    fn neither(it: Result<(), ()>) -> Result<(), ()> {
        it
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
        vec![(a, i), (b, j), (c, k), (d, l), (e + f + g + h, m.label)]
    }

    fn nothing() {}
}
