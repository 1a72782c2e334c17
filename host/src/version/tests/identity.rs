//! R5 in its order, and the sections of the SDK.

use super::*;
use wasm_encoder::{ComponentSection, CustomSection, Section};
use wasmhot_appup::Digest;

/// Appends a custom section.
fn with(mut bytes: Vec<u8>, name: &str, data: &[u8]) -> Vec<u8> {
    let section = CustomSection {
        name: name.into(),
        data: data.into(),
    };
    // Custom sections are the same in modules and components.
    bytes.push(ComponentSection::id(&section));
    wasm_encoder::Encode::encode(&section, &mut bytes);
    assert_eq!(Section::id(&section), 0);
    bytes
}

/// The section `component-name` or `name` with the name of the whole.
fn named(bytes: Vec<u8>, section: &str, name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).expect("short");
    let mut data = vec![0, length + 1, length];
    data.extend(name.as_bytes());
    with(bytes, section, &data)
}

/// A component around a core module.
fn around(module: &[u8]) -> Vec<u8> {
    let mut component = wasm_encoder::Component::new();
    component.section(&wasm_encoder::RawSection { id: 1, data: module });
    component.finish()
}

fn empty(text: &str) -> Vec<u8> {
    wasm(&format!("({text})"))
}

fn identity(stem: &str, bytes: &[u8]) -> (String, NameSource) {
    let description = describe(stem, bytes).unwrap_or_else(|error| panic!("{error}"));
    (
        format!("{}@{}", description.name, description.version),
        description.name_source,
    )
}

#[test]
fn r05_name_and_version_in_order() {
    let versioned =
        |bytes, name, section, version: &str| with(named(bytes, section, name), "version", version.as_bytes());
    let inner = versioned(empty("module"), "inner", "name", "2.0.0");
    let short = Digest::of(&named(empty("component"), "component-name", "outer")).short();
    let unversioned = format!("outer@0.0.0+{short}");
    let sdk = with(
        empty("module"),
        "wasmhot:module",
        br#"{"name":"Sdk_Made","version":"3.0.0","kind":"keyed"}"#,
    );
    let table = [
        (
            versioned(empty("component"), "outer", "component-name", "1.0.0"),
            "outer@1.0.0",
            NameSource::Metadata,
        ),
        (
            versioned(around(&inner), "outer", "component-name", "1.0.0"),
            "outer@1.0.0",
            NameSource::Metadata,
        ),
        (around(&inner), "inner@2.0.0", NameSource::InnerModule),
        (inner.clone(), "inner@2.0.0", NameSource::InnerModule),
        // Compilers name core modules: without a version that says nothing.
        (
            named(empty("module"), "name", "crate.wasm"),
            "file@9.0.0",
            NameSource::FileName,
        ),
        (
            around(&named(empty("module"), "name", "crate.wasm")),
            "file@9.0.0",
            NameSource::FileName,
        ),
        (
            named(empty("component"), "component-name", "outer"),
            unversioned.as_str(),
            NameSource::Metadata,
        ),
        (
            named(empty("component"), "component-name", "File"),
            "file@9.0.0",
            NameSource::Metadata,
        ),
        (
            with(empty("component"), "version", b"4.0.0"),
            "file@4.0.0",
            NameSource::FileName,
        ),
        (around(&sdk), "sdk-made@3.0.0", NameSource::Sdk),
        (sdk.clone(), "sdk-made@3.0.0", NameSource::Sdk),
        (empty("component"), "file@9.0.0", NameSource::FileName),
    ];
    for (bytes, wanted, source) in table {
        assert_eq!(identity("file-9.0.0", &bytes), (wanted.to_owned(), source));
    }
    assert_eq!(describe("file", &around(&sdk)).expect("is described").kind, Kind::Keyed);
    assert_eq!(compiled("file", &around(&sdk)).kind_hint, Some(Kind::Keyed));
}

#[test]
fn r05_bad_names_are_refused_and_not_barred() {
    let sdk = |first: &str, second: &str| {
        let section = |name| format!(r#"{{"name":"{name}","version":"1.0.0"}}"#);
        with(
            empty("module"),
            "wasmhot:module",
            (section(first) + &section(second)).as_bytes(),
        )
    };
    let table = [
        ("größe", empty("component"), "größe"),
        ("..", empty("component"), "rename the file"),
        ("\u{1b}[31m", empty("component"), "\\u{1b}"),
        ("file", named(empty("component"), "component-name", "My App"), "My App"),
        ("file", with(empty("component"), "version", b"1.2"), "MAJOR.MINOR.PATCH"),
        ("file", sdk("one", "two"), "both one and two"),
    ];
    for (stem, bytes, part) in table {
        let error = describe(stem, &bytes).expect_err("is refused");
        assert_eq!(error.code(), "bad-name", "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert!(!error.is_permanent());
    }
    assert_eq!(identity("file", &sdk("one", "one")).0, "one@1.0.0");
}

#[test]
fn r04_the_state_description_is_read_from_the_outermost_section() {
    let inner = with(
        empty("module"),
        "wasmhot:state",
        br#"{"media-type":"application/cbor","reads":["~1.2",">=1.0, <1.2"],"writes":["1.1"],"schema":{"n":"u64"}}"#,
    );
    let state = describe("file", &around(&inner))
        .expect("is described")
        .state
        .expect("a state");
    assert_eq!(
        (state.media_type.as_str(), state.reads.len(), state.writes.len()),
        ("application/cbor", 2, 1)
    );
    assert_eq!(state.schema["n"], "u64");
    let packed = with(around(&inner), "wasmhot:state", br#"{"media-type":"text/plain"}"#);
    assert_eq!(
        describe("file", &packed)
            .expect("is described")
            .state
            .expect("a state")
            .media_type,
        "text/plain"
    );
    let error = describe("file", &with(empty("module"), "wasmhot:state", b"{")).expect_err("cannot be read");
    assert!(error.to_string().contains("wasmhot:state"), "{error}");
}
