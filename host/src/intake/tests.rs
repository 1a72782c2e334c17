//! A real directory, watched.

use super::watch::Times;
use super::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;

const SETTLE: Duration = Duration::from_millis(40);

struct Watched {
    root: TempDir,
    watcher: Watcher,
    events: Receiver<IntakeEvent>,
}

impl Watched {
    /// Watches `<temporary>/drops`, with these files in it from the start.
    fn with(files: &[(&str, &str)], rescan: Duration) -> Self {
        let root = tempfile::tempdir().expect("temporary directory");
        let drops = root.path().join("drops");
        fs::create_dir(&drops).expect("makes the directory");
        for (name, content) in files {
            fs::write(drops.join(name), content).expect("writes");
        }
        let times = Times {
            settle: SETTLE,
            rescan,
            retry: Duration::from_millis(30),
        };
        let (watcher, events) = Watcher::start_with(&drops, times, 100).expect("watches");
        Watched { root, watcher, events }
    }

    fn new() -> Self {
        Self::with(&[], Duration::from_secs(30))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("drops").join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).expect("writes");
    }

    async fn next(&mut self) -> String {
        match tokio::time::timeout(Duration::from_secs(10), self.events.recv()).await {
            Ok(event) => say(&event.expect("the watch goes on")),
            Err(_) => panic!("nothing is told"),
        }
    }

    /// Nothing is told for some settle times.
    async fn quiet(&mut self) {
        if let Ok(event) = tokio::time::timeout(SETTLE * 6, self.events.recv()).await {
            panic!("{:?}", event.map(|event| say(&event)));
        }
    }
}

fn say(event: &IntakeEvent) -> String {
    let name = |path: &Path| {
        path.file_name()
            .map(|name| printable(name.as_ref()))
            .unwrap_or_default()
    };
    match event {
        IntakeEvent::Taken(taken) => {
            let start = if taken.at_start { " at start" } else { "" };
            format!("taken {} {}{start}", taken.stem, String::from_utf8_lossy(&taken.bytes))
        }
        IntakeEvent::Refused { path, error, .. } => format!("refused {} {}", name(path), error.code()),
        IntakeEvent::Removed { path } => format!("removed {}", name(path)),
        IntakeEvent::Touched { path, .. } => format!("touched {}", name(path)),
        IntakeEvent::WatchLost { .. } => "lost".to_owned(),
        IntakeEvent::WatchBack => "back".to_owned(),
    }
}

#[tokio::test]
async fn what_lies_there_is_taken_at_the_start() {
    let files = [("a.wasm", "1"), ("b.wasm", "2"), ("c.txt", "3"), (".d.wasm", "4")];
    let mut watched = Watched::with(&files, Duration::from_secs(30));
    assert_eq!(watched.next().await, "taken a 1 at start");
    assert_eq!(watched.next().await, "taken b 2 at start");
    watched.write("c.wasm", "5");
    assert_eq!(watched.next().await, "taken c 5");
    watched.quiet().await;
}

#[tokio::test]
async fn r36_each_content_is_taken_once() {
    let mut watched = Watched::new();
    watched.write("a.wasm", "1");
    assert_eq!(watched.next().await, "taken a 1");
    watched.write("a.wasm", "1");
    assert_eq!(watched.next().await, "touched a.wasm");
    fs::hard_link(watched.path("a.wasm"), watched.path("b.wasm")).expect("links");
    // A new link changes the times of the file itself too, but not its content.
    assert_eq!(watched.next().await, "touched b.wasm");
    watched.write("c.part", "2");
    fs::rename(watched.path("c.part"), watched.path("c.wasm")).expect("renames");
    assert_eq!(watched.next().await, "taken c 2");
    watched.write(".a.tmp", "3");
    fs::rename(watched.path(".a.tmp"), watched.path("a.wasm")).expect("renames over");
    assert_eq!(watched.next().await, "taken a 3");
    fs::rename(watched.path("c.wasm"), watched.path("d.wasm")).expect("renames");
    assert_eq!(watched.next().await, "removed c.wasm");
    assert_eq!(watched.next().await, "taken d 2");
    watched.quiet().await;
}

#[tokio::test]
async fn a_copy_stands_in_for_a_removed_file() {
    let mut watched = Watched::new();
    watched.write("a.wasm", "1");
    assert_eq!(watched.next().await, "taken a 1");
    watched.write("b.wasm", "1");
    assert_eq!(watched.next().await, "touched b.wasm");
    fs::remove_file(watched.path("a.wasm")).expect("removes");
    assert_eq!(watched.next().await, "removed a.wasm");
    assert_eq!(watched.next().await, "taken b 1");
}

#[tokio::test]
async fn a_slow_writer_is_waited_for_and_a_short_visit_gives_nothing() {
    use std::io::Write;
    let mut watched = Watched::new();
    let mut file = fs::File::create(watched.path("slow.wasm")).expect("creates");
    for _ in 0..5 {
        file.write_all(b"x").expect("writes");
        tokio::time::sleep(SETTLE * 2).await;
    }
    assert!(watched.events.try_recv().is_err());
    drop(file);
    assert_eq!(watched.next().await, "taken slow xxxxx");
    watched.write("short.wasm", "1");
    fs::remove_file(watched.path("short.wasm")).expect("removes");
    watched.quiet().await;
}

#[tokio::test]
async fn refusals_are_told_once() {
    let mut watched = Watched::with(&[], SETTLE * 2);
    std::os::unix::fs::symlink("/etc/passwd", watched.path("link.wasm")).expect("links");
    assert_eq!(watched.next().await, "refused link.wasm symlink");
    watched.write("large.wasm", &"x".repeat(101));
    assert_eq!(watched.next().await, "refused large.wasm too-large");
    fs::create_dir(watched.path("dir\n.wasm")).expect("makes a directory");
    assert_eq!(watched.next().await, "refused dir\\n.wasm directory");
    // Several scans find them again.
    watched.quiet().await;
    watched.write("large.wasm", "small");
    assert_eq!(watched.next().await, "taken large small");
}

#[tokio::test]
async fn the_directory_may_go_and_come_back() {
    let mut watched = Watched::with(&[("a.wasm", "1")], Duration::from_secs(30));
    assert_eq!(watched.next().await, "taken a 1 at start");
    let (drops, aside) = (watched.root.path().join("drops"), watched.root.path().join("aside"));
    fs::rename(&drops, &aside).expect("moves the directory");
    assert_eq!(watched.next().await, "lost");
    fs::create_dir(&drops).expect("makes another");
    watched.write("b.wasm", "2");
    assert_eq!(watched.next().await, "back");
    assert_eq!(watched.next().await, "removed a.wasm");
    assert_eq!(watched.next().await, "taken b 2");
    fs::remove_dir_all(&drops).expect("removes");
    assert_eq!(watched.next().await, "removed b.wasm");
    assert_eq!(watched.next().await, "lost");
    fs::rename(&aside, &drops).expect("moves back");
    assert_eq!(watched.next().await, "back");
    assert_eq!(watched.next().await, "taken a 1");
    watched.write("c.wasm", "3");
    assert_eq!(watched.next().await, "taken c 3");
}

#[tokio::test]
async fn files_whose_events_were_lost_are_found_by_the_scan() {
    // The watch is on the path of a link; behind it the directory is exchanged: no event tells of that.
    let root = tempfile::tempdir().expect("temporary directory");
    let place = |name: &str| root.path().join(name);
    fs::create_dir(place("one")).expect("makes");
    fs::create_dir(place("two")).expect("makes");
    fs::write(place("two/b.wasm"), "2").expect("writes");
    std::os::unix::fs::symlink(place("one"), place("link")).expect("links");
    let times = Times {
        settle: SETTLE,
        rescan: SETTLE,
        retry: SETTLE,
    };
    let (watcher, events) = Watcher::start_with(&place("link"), times, 100).expect("watches");
    std::os::unix::fs::symlink(place("two"), place("new")).expect("links");
    fs::rename(place("new"), place("link")).expect("exchanges");
    let mut watched = Watched { root, watcher, events };
    assert_eq!(watched.next().await, "taken b 2");
}

#[tokio::test]
async fn swapping_a_file_under_the_reader_never_mixes_contents() {
    let mut watched = Watched::new();
    let (one, two) = ("1".repeat(90), "2".repeat(90));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        for content in [&one, &two] {
            watched.write(".swap", content);
            fs::rename(watched.path(".swap"), watched.path("a.wasm")).expect("renames");
            if let Ok(IntakeEvent::Taken(taken)) = watched.events.try_recv() {
                assert!(*taken.bytes == *one.as_bytes() || *taken.bytes == *two.as_bytes());
                assert_eq!(taken.digest, wasmhot_appup::Digest::of(&taken.bytes));
            }
        }
    }
    let mut last = watched.next().await;
    while let Ok(Some(event)) = tokio::time::timeout(SETTLE * 6, watched.events.recv()).await {
        last = say(&event);
    }
    assert!(last == format!("taken a {two}") || last == "touched a.wasm", "{last}");
}

#[tokio::test]
async fn dropping_the_watcher_ends_it_even_if_nobody_listens() {
    let names: Vec<String> = (0..20).map(|n| format!("{n}.wasm")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), name.as_str())).collect();
    let watched = Watched::with(&files, Duration::from_secs(30));
    tokio::time::sleep(SETTLE * 3).await;
    let Watched {
        watcher,
        mut events,
        root: _root,
    } = watched;
    let begun = Instant::now();
    drop(watcher);
    assert!(begun.elapsed() < Duration::from_secs(1));
    while events.recv().await.is_some() {}
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let error = Watcher::start(Path::new("/does/not/exist"), SETTLE, 1).expect_err("is refused");
    assert!(matches!(error, WatchError::Directory { .. }));
}
