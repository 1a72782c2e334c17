//! Sections are joined when the module is compiled: text goes into the file as plain bytes, nothing runs.

/// How long the parts are together.
#[must_use]
pub const fn length(parts: &[&str]) -> usize {
    let mut sum = 0;
    let mut part = 0;
    while part < parts.len() {
        sum += parts[part].len();
        part += 1;
    }
    sum
}

/// The parts in one piece; `N` is their [`length`].
#[must_use]
pub const fn join<const N: usize>(parts: &[&str]) -> [u8; N] {
    let mut joined = [0; N];
    let (mut at, mut part) = (0, 0);
    while part < parts.len() {
        let bytes = parts[part].as_bytes();
        let mut byte = 0;
        while byte < bytes.len() {
            joined[at] = bytes[byte];
            at += 1;
            byte += 1;
        }
        part += 1;
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined() {
        const PARTS: [&str; 3] = ["a", "", "bc"];
        const JOINED: [u8; length(&PARTS)] = join(&PARTS);
        assert_eq!(&JOINED, b"abc");
    }
}
