//! `wasmhot pack` and `install`: out of a pack comes what went in, and nothing out of one that is not well meant.

use super::Offline;
use crate::support::{Binary, put_guests};
use serde_json::{Value, json};
use std::path::Path;

/// A release of donations in one folder, packed as `donations.tar.zst`.
fn packed() -> Offline {
    let offline = Offline::donations();
    std::fs::copy(offline.path("app/release-1.1.0.toml"), offline.path("app/release.toml")).unwrap();
    offline.ok(&["pack", "app", "-o", "donations.tar.zst"]);
    offline
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_packed_is_installed_and_runs() {
    let offline = packed();
    let said = offline.ok(&["install", "donations.tar.zst"]);
    assert!(
        said.starts_with("donations-1.1.0: release donations 1.1.0 is installed"),
        "{said}"
    );
    let files = names(&offline.path("donations-1.1.0"));
    let wanted = [
        "calculator-1.1.0.wasm",
        "receipts-1.0.0.wasm",
        "release.toml",
        "server-1.1.0.appup.toml",
        "server-1.1.0.wasm",
    ];
    assert_eq!(files, wanted);
    for file in wanted {
        let read = |folder: &str| std::fs::read(offline.path(folder).join(file)).unwrap();
        assert_eq!(read("app"), read("donations-1.1.0"), "{file}");
    }
    // Again is no fault, and something else of that name is not touched.
    let said = offline.ok(&["install", "donations.tar.zst"]);
    assert!(said.contains("was there already"), "{said}");
    offline.write("donations-1.1.0/release.toml", "mine");
    let said = offline.refused(&["install", "donations.tar.zst"]);
    assert!(said.contains("is something else"), "{said}");
    assert_eq!(offline.read("donations-1.1.0/release.toml"), "mine");
    // The same release gives the same bytes, and can be planned to and run.
    offline.ok(&["pack", "app", "-o", "again.tar.zst"]);
    assert_eq!(
        std::fs::read(offline.path("again.tar.zst")).unwrap(),
        std::fs::read(offline.path("donations.tar.zst")).unwrap()
    );
    offline.ok(&["install", "donations.tar.zst", "--to", "other"]);
    offline.ok(&["plan", "app/release-1.0.0.toml", "other", "-o", "relup.toml"]);
    let prepare = |app: &Path| {
        for file in names(&offline.path("other")) {
            std::fs::copy(offline.path("other").join(&file), app.join(file)).unwrap();
        }
    };
    let host = Binary::prepared(prepare, &[]);
    assert!(host.ready.contains("release donations 1.1.0"), "{}", host.ready);
}

#[test]
fn files_elsewhere_are_not_packed() {
    let offline = Offline::new();
    put_guests(&offline.folder("app"), &["counter-1.0.0"]);
    offline.folder("app/inner");
    let text = "format = 1\n[release]\nname = \"app\"\nversion = \"1.0.0\"\n[[modules]]\nname = \"counter\"\npath = \"../counter-1.0.0.wasm\"\n";
    offline.write("app/inner/release.toml", text);
    let said = offline.refused(&["pack", "app/inner"]);
    assert!(
        said.contains("it leads out of the directory") && said.contains("help: "),
        "{said}"
    );
    let said = offline.refused(&["pack", "app"]);
    assert!(said.contains("no release.toml"), "{said}");
}

/// One file of an archive that somebody made by hand.
struct Entry {
    path: String,
    kind: tar::EntryType,
    bytes: Vec<u8>,
}

/// The files of a good pack.
fn entries(offline: &Offline) -> Vec<Entry> {
    let bytes = std::fs::read(offline.path("donations.tar.zst")).unwrap();
    let mut tar = Vec::new();
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(&bytes[..]).unwrap();
    std::io::Read::read_to_end(&mut decoder, &mut tar).unwrap();
    let mut archive = tar::Archive::new(&tar[..]);
    let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        Entry {
            path: String::from_utf8(entry.path_bytes().into_owned()).unwrap(),
            kind: entry.header().entry_type(),
            bytes,
        }
    };
    archive.entries().unwrap().map(read).collect()
}

/// An archive with whatever names and kinds, which no well-meaning writer would write.
fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut tar = Vec::new();
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..entry.path.len()].copy_from_slice(entry.path.as_bytes());
        header.set_entry_type(entry.kind);
        if entry.kind.is_symlink() || entry.kind.is_hard_link() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_mode(0o644);
        header.set_size(entry.bytes.len() as u64);
        header.set_cksum();
        tar.extend_from_slice(header.as_bytes());
        tar.extend_from_slice(&entry.bytes);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.extend_from_slice(&[0; 1024]);
    tar
}

fn compressed(tar: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(tar, ruzstd::encoding::CompressionLevel::Fastest)
}

/// Changes the list of contents.
fn with_contents(entries: &mut [Entry], change: impl FnOnce(&mut Value)) {
    let mut contents: Value = serde_json::from_slice(&entries[0].bytes).unwrap();
    change(&mut contents);
    entries[0].bytes = serde_json::to_vec(&contents).unwrap();
}

#[test]
fn no_hostile_archive_leaves_a_trace() {
    type Change = fn(&mut Vec<Entry>);
    let table: &[(&str, Change, &str)] = &[
        (
            "bad-path",
            |all| with_contents(all, |json| json["files"][1]["path"] = json!("../escaped")),
            "leads out of the directory",
        ),
        (
            "bad-path",
            |all| with_contents(all, |json| json["files"][1]["path"] = json!("/tmp/escaped")),
            "absolute",
        ),
        (
            "bad-path",
            |all| with_contents(all, |json| json["files"][1]["path"] = json!("a//b")),
            "not plain",
        ),
        (
            "bad-path",
            |all| all[2].path = "../escaped".into(),
            "leads out of the directory",
        ),
        ("bad-path", |all| all[2].path = "/tmp/escaped".into(), "absolute"),
        (
            "not-a-file",
            |all| all[2].kind = tar::EntryType::Symlink,
            "a symbolic link",
        ),
        ("not-a-file", |all| all[2].kind = tar::EntryType::Link, "a link"),
        ("not-a-file", |all| all[2].kind = tar::EntryType::Char, "a device"),
        ("not-a-file", |all| all[2].kind = tar::EntryType::Block, "a device"),
        ("not-a-file", |all| all[2].kind = tar::EntryType::Fifo, "a named pipe"),
        ("not-a-file", |all| all[2].kind = tar::EntryType::Directory, "a folder"),
        (
            "duplicate",
            |all| with_contents(all, |json| json["files"][1]["path"] = json!("release.toml")),
            "twice",
        ),
        (
            "not-announced",
            |all| {
                let Entry { path, kind, bytes } = &all[2];
                let again = Entry {
                    path: path.clone(),
                    kind: *kind,
                    bytes: bytes.clone(),
                };
                all.insert(3, again);
            },
            "announces",
        ),
        (
            "not-announced",
            |all| {
                let more = Entry {
                    path: "more.wasm".into(),
                    kind: tar::EntryType::Regular,
                    bytes: vec![1; 100],
                };
                all.push(more);
            },
            "not in its wasmhot-pack.json",
        ),
        ("truncated", |all| drop(all.pop()), "it ends before"),
        ("wrong-digest", |all| all[2].bytes[100] ^= 1, "its sha256 is"),
        ("wrong-size", |all| all[2].bytes.truncate(100), "has 100 bytes"),
        (
            "too-large",
            |all| with_contents(all, |json| json["files"][1]["size"] = json!(u64::MAX)),
            "bytes",
        ),
        (
            "too-large",
            |all| with_contents(all, |json| json["files"] = json!(vec![json["files"][1].clone(); 5000])),
            "5000 files",
        ),
        ("too-large", |all| all[0].bytes.resize(8 << 20, b' '), "more comes out"),
        (
            "bad-contents",
            |all| with_contents(all, |json| json["format"] = json!(2)),
            "format 2",
        ),
        (
            "bad-contents",
            |all| with_contents(all, |json| json["name"] = json!("../up")),
            "no name of a release",
        ),
        (
            "bad-contents",
            |all| with_contents(all, |json| json["version"] = json!("9.0.0")),
            "announced as donations 9.0.0",
        ),
        (
            "bad-contents",
            |all| with_contents(all, |json| json["unknown"] = json!(1)),
            "unknown",
        ),
        ("not-a-pack", |all| drop(all.remove(0)), "does not begin with"),
        ("not-a-pack", Vec::clear, "does not begin with"),
    ];
    let offline = packed();
    for (code, change, wanted) in table {
        let mut entries = entries(&offline);
        change(&mut entries);
        offline.write("hostile.tar.zst", compressed(&archive(&entries)));
        refused(&offline, code, wanted);
    }
    // After all of them the good one is installed.
    offline.ok(&["install", "donations.tar.zst"]);
}

/// The hostile pack is refused, and the folder is as it was.
fn refused(offline: &Offline, code: &str, wanted: &str) {
    let before = names(offline.root.path());
    let (exit, told) = offline.json(&["install", "hostile.tar.zst"]);
    assert_eq!((exit, told["code"].as_str()), (4, Some(code)), "{wanted}: {told}");
    let message = told["message"].as_str().unwrap();
    assert!(message.contains(wanted), "{wanted} in {message}");
    assert_eq!(names(offline.root.path()), before, "{wanted}");
    assert!(!offline.path("../escaped").exists() && !Path::new("/tmp/escaped").exists());
}

#[test]
fn no_part_of_a_pack_is_enough() {
    let offline = packed();
    let whole = std::fs::read(offline.path("donations.tar.zst")).unwrap();
    let before = names(offline.root.path());
    for part in [0, 1, 4, 10, 100, whole.len() / 2, whole.len() - 100, whole.len() - 1] {
        offline.write("part.tar.zst", &whole[..part]);
        let said = offline.refused(&["install", "part.tar.zst"]);
        assert!(said.contains("part.tar.zst: "), "{part}: {said}");
        std::fs::remove_file(offline.path("part.tar.zst")).unwrap();
        assert_eq!(names(offline.root.path()), before, "{part}");
    }
    // Neither is more than it, or a byte of it changed.
    offline.write("more.tar.zst", [&whole[..], b"more"].concat());
    offline.refused(&["install", "more.tar.zst"]);
    let mut changed = whole.clone();
    for place in [0, 6, whole.len() / 3, whole.len() / 2, whole.len() - 2] {
        changed[place] ^= 0x10;
        offline.write("changed.tar.zst", &changed);
        offline.refused(&["install", "changed.tar.zst"]);
        changed[place] ^= 0x10;
    }
    for other in ["app/server-1.1.0.wasm", "app/release.toml", "app"] {
        offline.refused(&["install", other]);
    }
    offline.ok(&["install", "donations.tar.zst"]);
}

#[test]
fn what_a_crash_left_is_no_hindrance() {
    let offline = packed();
    offline.folder(".donations-1.1.0.installing/inner");
    offline.write(".donations-1.1.0.installing/server-1.1.0.wasm", "half");
    offline.ok(&["install", "donations.tar.zst"]);
    assert!(!offline.path(".donations-1.1.0.installing").exists());
    // Who installs at this moment is not disturbed.
    let staging = offline.folder(".other.installing");
    let held = std::fs::File::open(&staging).unwrap();
    held.try_lock().unwrap();
    let (code, _, said) = offline.cli(&["install", "donations.tar.zst", "--to", "other"]);
    assert_eq!(code, 5, "{said}");
    assert!(staging.exists());
    drop(held);
    offline.ok(&["install", "donations.tar.zst", "--to", "other"]);
}
