//! What is written is read again, whole, by the right host.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use wasmhot_appup::{ModuleName, ModuleVersion, Version};

fn name(name: &str) -> ModuleName {
    ModuleName::parse(name).expect("a name")
}

fn saved(module: &str, key: Option<&str>, bytes: &[u8]) -> SavedState {
    let tag = SavedStateTag {
        module: name(module),
        key: key.map(str::to_owned),
        version: ModuleVersion {
            name: name(module),
            version: Version::new(1, 2, 3),
            digest: wasmhot_appup::Digest::of(module.as_bytes()),
        },
        revision: 7,
        time_ms: 1_700_000_000_000,
        format: "application/cbor".to_owned(),
        size: bytes.len() as u64,
        reason: SaveReason::HandedOver,
        order: SaveOrder::default(),
        written_for: None,
        form: Form::Whole,
        ahead: None,
    };
    SavedState {
        tag,
        bytes: bytes.into(),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("exists").permissions().mode() & 0o777
}

#[test]
fn p4_a_commit_is_there_whole_after_opening_again() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let meta = Meta {
        current: Some(7),
        permanent: Some(6),
        release_file: Some(wasmhot_appup::Digest::of(b"toml")),
        held: None,
        middle: Vec::new(),
    };
    {
        let catalog = Catalog::open(dir.path()).expect("opens");
        assert_eq!(catalog.meta().expect("reads"), Meta::default());
        catalog
            .put_states(&[saved("old", None, b"goes"), saved("old", Some("k"), b"too")], true)
            .expect("writes");
        let commit = Commit {
            revision: 7,
            record: &serde_json::json!({"modules": ["a"]}),
            meta: meta.clone(),
            states: vec![saved("a", None, b"state"), saved("old", None, b"new")],
            attempt: None::<(u64, &())>,
            before: Vec::new(),
            delete_states: vec![name("old")],
            lifted: Vec::new(),
            barred: Vec::new(),
        };
        catalog.commit(&commit).expect("commits");
    }
    let catalog = Catalog::open(dir.path()).expect("opens");
    assert_eq!(catalog.meta().expect("reads"), meta);
    assert_eq!(catalog.revisions().expect("reads"), [7]);
    let record: serde_json::Value = catalog.revision(7).expect("reads").expect("is there");
    assert_eq!(record["modules"][0], "a");
    assert!(catalog.revision::<serde_json::Value>(8).expect("reads").is_none());
    assert_eq!(
        catalog.state(&name("a"), None).expect("reads"),
        Some(saved("a", None, b"state"))
    );
    assert_eq!(catalog.states_of(&name("old")).expect("reads").len(), 1);
    catalog.delete_revisions(&[7, 8]).expect("removes");
    assert!(catalog.revisions().expect("reads").is_empty());
    assert_eq!(mode(&dir.path().join("catalog.redb")), 0o600);
}

#[test]
fn p4_a_catalog_of_a_killed_host_opens_as_it_was_committed() {
    let (dir, crashed) = (
        tempfile::tempdir().expect("temporary directory"),
        tempfile::tempdir().expect("another"),
    );
    let catalog = Catalog::open(dir.path()).expect("opens");
    for revision in 1..=5 {
        let meta = Meta {
            current: Some(revision),
            ..Meta::default()
        };
        let states = vec![saved("a", None, &revision.to_le_bytes())];
        catalog
            .commit(&Commit {
                revision,
                record: &revision,
                meta,
                states,
                attempt: None::<(u64, &())>,
                before: Vec::new(),
                delete_states: Vec::new(),
                lifted: Vec::new(),
                barred: Vec::new(),
            })
            .expect("commits");
        // Not yet durable: lost with the host, and nothing else with it.
        catalog
            .put_states(&[saved("a", None, b"later")], false)
            .expect("writes");
        // What kill -9 leaves: the file as it is now, never closed.
        fs::copy(dir.path().join("catalog.redb"), crashed.path().join("catalog.redb")).expect("copies");
        let after = Catalog::open(crashed.path()).expect("repairs");
        assert_eq!(after.meta().expect("reads").current, Some(revision));
        assert_eq!(after.revision::<u64>(revision).expect("reads"), Some(revision));
        let state = after.state(&name("a"), None).expect("reads").expect("is there");
        assert_eq!(&*state.bytes, &revision.to_le_bytes());
    }
}

/// For the hand: what a commit costs, and what a start after a crash with 200 MB of state.
#[test]
#[ignore = "measures"]
fn measure_commit_and_repair() {
    let (dir, crashed) = (
        tempfile::tempdir().expect("temporary directory"),
        tempfile::tempdir().expect("another"),
    );
    let catalog = Catalog::open(dir.path()).expect("opens");
    let timed = |what: &str, begun: std::time::Instant| eprintln!("{what}: {:?}", begun.elapsed());
    let begun = std::time::Instant::now();
    for n in 0..200_u32 {
        catalog
            .put_states(&[saved("a", None, &n.to_le_bytes())], true)
            .expect("writes");
    }
    timed("200 small durable writes", begun);
    let begun = std::time::Instant::now();
    catalog
        .put_states(&[saved("b", None, &vec![7; 200 << 20])], true)
        .expect("writes");
    timed("200 MB, durable", begun);
    let begun = std::time::Instant::now();
    let many: Vec<_> = (0..100_000)
        .map(|n| saved("room", Some(&n.to_string()), b"some state of a room"))
        .collect();
    catalog.put_states(&many, true).expect("writes");
    timed("100,000 keys", begun);
    fs::copy(dir.path().join("catalog.redb"), crashed.path().join("catalog.redb")).expect("copies");
    let begun = std::time::Instant::now();
    drop(Catalog::open(crashed.path()).expect("repairs"));
    timed("opening after a crash", begun);
}

#[test]
fn a_commit_that_cannot_be_written_leaves_everything_as_it_was() {
    struct Unwritable;
    impl serde::Serialize for Unwritable {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }
    let dir = tempfile::tempdir().expect("temporary directory");
    let catalog = Catalog::open(dir.path()).expect("opens");
    let meta = Meta {
        current: Some(1),
        ..Meta::default()
    };
    let (states, delete_states) = (vec![saved("a", None, b"1")], Vec::new());
    let error = catalog.commit(&Commit {
        revision: 1,
        record: &Unwritable,
        meta,
        states,
        attempt: None::<(u64, &())>,
        before: Vec::new(),
        delete_states,
        lifted: Vec::new(),
        barred: Vec::new(),
    });
    assert_eq!(error.expect_err("fails").code(), "encode");
    assert_eq!(catalog.meta().expect("reads"), Meta::default());
    assert!(catalog.state(&name("a"), None).expect("reads").is_none());
}

#[test]
fn r28_states_are_kept_by_module_and_key() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let catalog = Catalog::open(dir.path()).expect("opens");
    let keys = [None, Some(""), Some("a"), Some("größe"), Some("a\0b")];
    let mut states: Vec<_> = keys.iter().map(|key| saved("room", *key, b"x")).collect();
    // Names that begin alike are other modules.
    states.extend([saved("roo", Some("a"), b"y"), saved("room-2", None, b"z")]);
    catalog.put_states(&states, false).expect("writes");
    for state in &states {
        let found = catalog
            .state(&state.tag.module, state.tag.key.as_deref())
            .expect("reads");
        assert_eq!(found.as_ref(), Some(state));
    }
    assert_eq!(catalog.states_of(&name("room")).expect("reads").len(), keys.len());
    catalog
        .put_states(&[saved("room", Some("a"), b"newer")], true)
        .expect("writes");
    let newer = catalog
        .state(&name("room"), Some("a"))
        .expect("reads")
        .expect("is there");
    assert_eq!(&*newer.bytes, b"newer");
    catalog.delete_state(&name("room"), Some("a")).expect("removes");
    assert_eq!(catalog.states_of(&name("room")).expect("reads").len(), keys.len() - 1);
    catalog.delete_states(&name("room")).expect("removes");
    assert!(catalog.states_of(&name("room")).expect("reads").is_empty());
    assert_eq!(catalog.states_of(&name("roo")).expect("reads").len(), 1);
    assert_eq!(catalog.states_of(&name("room-2")).expect("reads").len(), 1);
}

#[test]
fn r36_files_are_remembered_by_content() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let catalog = Catalog::open(dir.path()).expect("opens");
    let digest = wasmhot_appup::Digest::of(b"file");
    assert_eq!(catalog.file(&digest).expect("reads"), None);
    let record = FileRecord {
        stem: "a-1.0.0".to_owned(),
        barred: Some("trap".to_owned()),
        noted_ms: 5,
    };
    catalog.put_file(&digest, &record).expect("writes");
    assert_eq!(catalog.file(&digest).expect("reads"), Some(record));
    catalog.delete_file(&digest).expect("removes");
    assert_eq!(catalog.file(&digest).expect("reads"), None);
}

#[test]
fn damage_and_newer_formats_are_named() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("catalog.redb");
    for garbage in [&b""[..], b"not a database", &[0xff; 8192]] {
        fs::write(&path, garbage).expect("writes");
        let error = Catalog::open(dir.path()).err().expect("is refused");
        assert_eq!(error.code(), "catalog-damaged", "{error}");
    }
    fs::remove_file(&path).expect("removes");
    drop(Catalog::open(dir.path()).expect("makes a new one"));
    let database = redb::Database::open(&path).expect("opens");
    let transaction = database.begin_write().expect("begins");
    let newer = br#"{"format":2,"anything":true}"#;
    transaction
        .open_table(tables::META)
        .expect("opens")
        .insert("meta", &newer[..])
        .expect("writes");
    transaction.commit().expect("commits");
    drop(database);
    let error = Catalog::open(dir.path()).err().expect("is refused");
    assert_eq!(error.code(), "newer-format", "{error}");
}

#[test]
fn a_half_made_catalog_is_made_again() {
    let dir = tempfile::tempdir().expect("temporary directory");
    fs::write(dir.path().join("catalog.redb.new"), b"half").expect("writes");
    drop(Catalog::open(dir.path()).expect("opens"));
    assert!(!dir.path().join("catalog.redb.new").exists());
}

#[test]
fn objects_are_whole_private_and_checked() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let objects = Objects::open(dir.path()).expect("opens");
    let digest = objects.put(b"bytes").expect("writes");
    assert_eq!(objects.put(b"bytes").expect("is there"), digest);
    assert_eq!(objects.get(&digest).expect("reads").as_deref(), Some(&b"bytes"[..]));
    assert_eq!(
        (mode(&objects.path(&digest)), mode(&dir.path().join("objects"))),
        (0o600, 0o700)
    );
    fs::write(dir.path().join("objects/foreign.txt"), b"x").expect("writes");
    assert_eq!(objects.list().expect("lists"), [digest]);
    fs::write(objects.path(&digest), b"other").expect("changes it");
    assert_eq!(objects.get(&digest).expect_err("is seen").code(), "object-changed");
    objects.put(b"bytes").expect("is written anew");
    assert_eq!(objects.get(&digest).expect("reads").as_deref(), Some(&b"bytes"[..]));
    objects.remove(&digest).expect("removes");
    objects.remove(&digest).expect("is gone already");
    assert_eq!(objects.get(&digest).expect("reads"), None);
}

#[test]
fn objects_half_written_by_a_crash_are_swept_and_links_not_followed() {
    let dir = tempfile::tempdir().expect("temporary directory");
    drop(Objects::open(dir.path()).expect("opens"));
    fs::write(dir.path().join("objects/.new-1-0"), b"half").expect("writes");
    let objects = Objects::open(dir.path()).expect("opens");
    assert!(!dir.path().join("objects/.new-1-0").exists());
    let digest = wasmhot_appup::Digest::of(b"secret");
    fs::write(dir.path().join("secret"), b"secret").expect("writes");
    std::os::unix::fs::symlink(dir.path().join("secret"), objects.path(&digest)).expect("links");
    assert_eq!(objects.get(&digest).expect_err("is not followed").code(), "io");
}

#[test]
fn a_second_host_is_told_who_has_the_state() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let state = dir.path().join("deep/state");
    let lock = StateLock::take(&state).expect("takes");
    let error = StateLock::take(&state).expect_err("is held");
    assert_eq!(error.code(), "already-running");
    assert!(
        error.to_string().contains(&format!("(pid {})", std::process::id())),
        "{error}"
    );
    drop(lock);
    StateLock::take(&state).expect("is free");
    assert_eq!((mode(&state), mode(&state.join("lock"))), (0o700, 0o600));
}

#[test]
fn many_writers_and_readers_at_once() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let catalog = Arc::new(Catalog::open(dir.path()).expect("opens"));
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let catalog = catalog.clone();
            scope.spawn(move || {
                for n in 0..20 {
                    let key = format!("{writer}-{n}");
                    catalog
                        .put_states(&[saved("room", Some(&key), key.as_bytes())], n % 5 == 0)
                        .expect("writes");
                    let found = catalog
                        .state(&name("room"), Some(&key))
                        .expect("reads")
                        .expect("is there");
                    assert_eq!(&*found.bytes, key.as_bytes());
                }
            });
        }
    });
    assert_eq!(catalog.states_of(&name("room")).expect("reads").len(), 80);
}

/// What a crash of the process at this moment leaves: the file as it is, without the end of the database.
fn after_a_crash(state: &Path) -> (tempfile::TempDir, Catalog) {
    let copy = tempfile::tempdir().expect("temporary directory");
    fs::copy(state.join("catalog.redb"), copy.path().join("catalog.redb")).expect("copies");
    let catalog = Catalog::open(copy.path()).expect("opens");
    (copy, catalog)
}

#[test]
fn what_is_not_durable_is_so_after_a_flush() {
    let state = tempfile::tempdir().expect("temporary directory");
    let catalog = Catalog::open(state.path()).expect("opens");
    catalog
        .put_states(&[saved("rooms", Some("hall"), b"1")], false)
        .expect("writes");
    let read = |catalog: &Catalog| catalog.state(&name("rooms"), Some("hall")).expect("reads");
    assert!(read(&catalog).is_some());
    assert!(
        read(&after_a_crash(state.path()).1).is_none(),
        "this is why a flush is needed"
    );
    catalog.flush().expect("flushes");
    assert!(read(&after_a_crash(state.path()).1).is_some());
}

#[test]
fn an_older_save_that_is_written_later_changes_nothing() {
    let state = tempfile::tempdir().expect("temporary directory");
    let catalog = Catalog::open(state.path()).expect("opens");
    let ordered = |bytes: &[u8]| {
        let mut state = saved("rooms", Some("hall"), bytes);
        state.tag.order = SaveOrder::next();
        state
    };
    let (first, second) = (ordered(b"1"), ordered(b"2"));
    let there = || {
        catalog
            .state(&name("rooms"), Some("hall"))
            .expect("reads")
            .expect("is there")
            .bytes
    };
    catalog.put_states(&[second], true).expect("writes");
    catalog.put_states(&[first], true).expect("writes");
    assert_eq!(&*there(), b"2");
    // Another process begins to count anew.
    let mut other = ordered(b"3");
    other.tag.order = SaveOrder { process: 1, number: 1 };
    catalog.put_states(&[other], true).expect("writes");
    assert_eq!(&*there(), b"3");
}
