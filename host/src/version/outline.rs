//! What kind of bytes a file is, and what its sections say, in one pass that looks into no function.

use super::VersionError;
use wasmparser::{BinaryReaderError, Encoding, KnownCustom, Name, Parser, Payload};
use wasmtime::Engine;

/// The custom section that holds an appup.
pub(crate) const APPUP: &str = "wasmhot:appup";

/// The eight bytes at the start of a core module and of a component.
const MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";

/// Things that people put into a directory, by their first bytes.
const STRANGERS: &[(&[u8], &str)] = &[
    (b"\x7fELF", "a native program or library (ELF)"),
    (b"MZ", "a Windows program"),
    (b"\xcf\xfa\xed\xfe", "a macOS program"),
    (b"\xca\xfe\xba\xbe", "a macOS program or a Java class"),
    (b"!<arch>", "an archive of object files; link it"),
    (b"#!", "a script"),
    (b"\x1f\x8b", "compressed (gzip); unpack it"),
    (b"PK\x03\x04", "an archive (zip); unpack it"),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd); unpack it"),
    (b"BC\xc0\xde", "LLVM bitcode; link it"),
    (b"<", "HTML or XML; was the download an error page?"),
    (b"{", "JSON"),
];

/// What the sections of a file say, without a look into its code.
#[derive(Debug)]
pub(super) struct Outline {
    /// A core module, or a component.
    pub(super) encoding: Encoding,
    /// Name and version of the file itself.
    pub(super) outer: Label,
    /// Name and version of the modules inside, in file order.
    pub(super) inner: Vec<Label>,
    /// The sections `wasmhot:module`, wherever they stand.
    pub(super) sdk: Vec<Vec<u8>>,
    /// The section `wasmhot:state`, the outermost there is (R4).
    pub(super) state: Option<Vec<u8>>,
    /// The section `wasmhot:appup`, the outermost there is.
    pub(super) appup: Option<Vec<u8>>,
    /// A core module that says which component it wants to be.
    pub(super) has_component_type: bool,
}

/// Name and version in the metadata sections of one module or component.
#[derive(Debug, Default)]
pub(super) struct Label {
    pub(super) name: Option<String>,
    pub(super) version: Option<String>,
}

/// Tells a module or component from everything else, by its first bytes.
pub(super) fn sniff(bytes: &[u8]) -> Result<(), VersionError> {
    if bytes.is_empty() {
        return Err(VersionError::Empty);
    }
    // Before all else: compiled code is an ELF file of Wasmtime's, and must never come near a loader.
    if Engine::detect_precompiled(bytes).is_some() {
        return Err(VersionError::Precompiled);
    }
    if bytes.starts_with(&MODULE) || bytes.starts_with(&COMPONENT) {
        return Ok(());
    }
    if MODULE.starts_with(bytes) || COMPONENT.starts_with(bytes) {
        return Err(VersionError::Truncated {
            why: format!("after {} bytes", bytes.len()),
        });
    }
    if bytes.starts_with(b"\0asm") {
        return Err(VersionError::invalid(
            "it is of an edition of WebAssembly that is not known (bytes 5 to 8)",
        ));
    }
    if is_text(bytes) {
        return Err(VersionError::Text);
    }
    let stranger = STRANGERS.iter().find(|(start, _)| bytes.starts_with(start));
    Err(VersionError::NotWasm {
        what: stranger.map_or("it does not begin with `\\0asm`", |(_, what)| *what),
    })
}

/// WebAssembly text begins, after blanks and comments, with `(module` or `(component`.
fn is_text(bytes: &[u8]) -> bool {
    // Enough for any head comment; a longer one is called "not WebAssembly", which is no lie.
    let mut rest = &bytes[..bytes.len().min(64 << 10)];
    loop {
        rest = rest.trim_ascii_start();
        if rest.starts_with(b";;") {
            let line = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            rest = &rest[line..];
        } else if rest.starts_with(b"(;") {
            let Some(end) = rest.windows(2).position(|two| two == b";)") else {
                return false;
            };
            rest = &rest[end + 2..];
        } else {
            break;
        }
    }
    let Some(rest) = rest.strip_prefix(b"(") else {
        return false;
    };
    let rest = rest.trim_ascii_start();
    rest.starts_with(b"module") || rest.starts_with(b"component")
}

impl Outline {
    /// Reads the sections of a file that [`sniff`] let pass.
    pub(super) fn read(bytes: &[u8]) -> Result<Outline, VersionError> {
        let mut outline = Outline {
            encoding: Encoding::Module,
            outer: Label::default(),
            inner: Vec::new(),
            sdk: Vec::new(),
            state: None,
            appup: None,
            has_component_type: false,
        };
        let (mut state_depth, mut appup_depth) = (usize::MAX, usize::MAX);
        // The modules and components that are open at this point of the file, outermost first.
        let mut open = vec![Label::default()];
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(|error| parse_error(&error))? {
                Payload::Version { encoding, .. } if open.len() == 1 => outline.encoding = encoding,
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => open.push(Label::default()),
                Payload::End(_) if open.len() > 1 => outline.inner.extend(open.pop()),
                Payload::CustomSection(section) => {
                    let depth = open.len();
                    match section.name() {
                        "wasmhot:module" => outline.sdk.push(section.data().to_vec()),
                        "wasmhot:state" if depth < state_depth => {
                            (outline.state, state_depth) = (Some(section.data().to_vec()), depth);
                        }
                        APPUP if depth < appup_depth => {
                            (outline.appup, appup_depth) = (Some(section.data().to_vec()), depth);
                        }
                        name if name.starts_with("component-type") && depth == 1 => outline.has_component_type = true,
                        _ => {}
                    }
                    if let Some(label) = open.last_mut() {
                        label.read(&section);
                    }
                }
                _ => {}
            }
        }
        outline.outer = open.pop().unwrap_or_default();
        Ok(outline)
    }
}

impl Label {
    /// Takes what a metadata section says. Damaged ones count as absent, as custom sections do in WebAssembly.
    fn read(&mut self, section: &wasmparser::CustomSectionReader<'_>) {
        match section.as_known() {
            KnownCustom::Name(names) => {
                for name in names.into_iter().flatten() {
                    if let Name::Module { name, .. } = name {
                        self.name = Some(name.to_owned());
                    }
                }
            }
            KnownCustom::ComponentName(names) => {
                for name in names.into_iter().flatten() {
                    if let wasmparser::ComponentName::Component { name, .. } = name {
                        self.name = Some(name.to_owned());
                    }
                }
            }
            KnownCustom::Unknown if section.name() == "version" => {
                self.version = std::str::from_utf8(section.data()).ok().map(str::to_owned);
            }
            _ => {}
        }
    }
}

/// A parser's error; one at the end of the bytes means that some are missing.
pub(super) fn parse_error(error: &BinaryReaderError) -> VersionError {
    if error.message().contains("unexpected end") {
        return VersionError::Truncated {
            why: format!("at byte {}", error.offset()),
        };
    }
    VersionError::invalid(error)
}
