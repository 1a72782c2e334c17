//! A component around a published core module: its bytes are one section of ours, the rest is text.

use wasm_encoder::Encode;
use wasmparser::{Parser, Payload};

/// Puts the published bytes in the place of the first core module of a component's text.
pub(super) fn around(text: &str, published: &[u8]) -> Vec<u8> {
    let text = text.replace("  ;; WASI\n", include_str!("glue/wasi.wat"));
    let component = crate::made::wasm(&text);
    let mut place = None;
    for payload in Parser::new(0).parse_all(&component) {
        if let Payload::ModuleSection { unchecked_range, .. } = payload.unwrap() {
            place = Some(unchecked_range);
            break;
        }
    }
    let place = place.expect("a core module");
    // Before its bytes stand the number of the section and its length, which is one byte where it is small: it is empty but for a name.
    assert!(
        place.len() < 128,
        "the first core module is where the published one goes"
    );
    let mut whole = component[..place.start - 1].to_vec();
    published.len().encode(&mut whole);
    whole.extend_from_slice(published);
    whole.extend_from_slice(&component[place.end..]);
    whole
}
