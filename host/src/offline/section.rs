//! An appup in the module itself: the custom section `wasmhot:appup`.

use super::read::{parse_appup, read_file};
use crate::control::protocol::{Exit, Failure};
use crate::version::{APPUP, facts};
use std::path::Path;
use wasmhot_appup::{ModuleVersion, VersionRange};

/// `\0asm` and the version: what stands before the sections, of a core module and of a component alike.
const HEAD: usize = 8;

/// The bytes of a module with this appup in it, instead of one that it had; and who it is now.
///
/// # Errors
/// The module or the appup cannot be read, or they do not belong together.
pub(crate) fn with_appup(module: &Path, appup: &Path) -> Result<(ModuleVersion, Vec<u8>), Failure> {
    let (found, bytes) = read_file(module)?;
    let text = std::fs::read_to_string(appup)
        .map_err(|error| Failure::new("io", Exit::Refused, format!("{}: {error}", appup.display())))?;
    let parsed = parse_appup(&appup.display().to_string(), &text)?;
    let id = &found.id;
    let belongs = |version| VersionRange::Exact(version).holds(&id.version);
    let is_other = parsed.module != id.name || !parsed.version.clone().is_none_or(belongs);
    // A file that is named by its name is whatever its release calls it.
    if is_other && !found.is_named_by_file {
        let whose = match &parsed.version {
            Some(version) if parsed.module == id.name => format!("`{}` {version}", parsed.module),
            _ => format!("`{}`", parsed.module),
        };
        let message = format!(
            "{}: this appup is that of {whose}, but the module is `{}` {}",
            appup.display(),
            id.name,
            id.version
        );
        return Err(Failure::new("bad-appup", Exit::Refused, message).in_phase("check"));
    }
    let packed = with_section(&bytes, APPUP, text.as_bytes());
    let stem = module.file_stem().unwrap_or_default().to_string_lossy();
    let again = packed.and_then(|packed| Some((facts(&stem, &packed).ok()?, packed)));
    match again {
        Some((facts, packed)) if facts.appup.as_deref() == Some(&text) => Ok((facts.id, packed)),
        _ => Err(Failure::new(
            "internal",
            Exit::Bug,
            format!("{}: no section could be added", module.display()),
        )),
    }
}

/// The module or component with a custom section of this name at its end, and no other one of that name. `None` if its sections
/// cannot be told apart.
fn with_section(bytes: &[u8], name: &str, data: &[u8]) -> Option<Vec<u8>> {
    let mut with = bytes.get(..HEAD)?.to_vec();
    let mut rest = &bytes[HEAD..];
    while !rest.is_empty() {
        let (length, after) = leb(rest.get(1..)?)?;
        let size = rest.len() - after.len() + length;
        let (section, next) = rest.split_at_checked(size)?;
        let is_custom = section[0] == 0;
        let named = is_custom && {
            let (length, content) = leb(&section[section.len() - length..])?;
            content.get(..length)? == name.as_bytes()
        };
        if !named {
            with.extend_from_slice(section);
        }
        rest = next;
    }
    let mut content = Vec::new();
    push_leb(&mut content, name.len())?;
    content.extend_from_slice(name.as_bytes());
    content.extend_from_slice(data);
    with.push(0);
    push_leb(&mut with, content.len())?;
    with.extend_from_slice(&content);
    Some(with)
}

/// A number of at most 32 bits, seven of them a byte.
fn leb(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (place, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(u32::try_from(value).ok()?).ok()?, &bytes[place + 1..]));
        }
    }
    None
}

fn push_leb(to: &mut Vec<u8>, value: usize) -> Option<()> {
    let mut value = u32::try_from(value).ok()?;
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            to.push(low);
            return Some(());
        }
        to.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_added_and_replaced() {
        let empty = b"\0asm\x01\0\0\0".to_vec();
        let once = with_section(&empty, "a", &[7; 300]).expect("is a module");
        let other = with_section(&once, "b", b"x").expect("is a module");
        let twice = with_section(&other, "a", b"y").expect("is a module");
        assert_eq!(
            twice,
            [&empty[..], &[0, 3, 1, b'b', b'x'], &[0, 3, 1, b'a', b'y']].concat()
        );
        assert_eq!(once.len(), 8 + 1 + 2 + 2 + 300);
    }

    #[test]
    fn what_is_no_module_gets_no_section() {
        for bytes in [
            &b"\0asm"[..],
            b"\0asm\x01\0\0\0\x01",
            b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(with_section(bytes, "a", b""), None, "{bytes:?}");
        }
    }
}
