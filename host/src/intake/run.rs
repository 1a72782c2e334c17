//! The thread of a watch: sleeps until something is heard, a file is due, or the directory is to be read again.

use super::settle::{Settled, Settling, Stat};
use super::take::{TakeError, take};
use super::watch::{DirWatch, IntakeEvent, Signal, Times, identity, is_wasm};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender as SignalSender};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use wasmhot_appup::Digest;

/// How often a full queue is tried again. Only a host that does not take its events makes this thread wake up without need.
const FULL_QUEUE: Duration = Duration::from_millis(20);

/// State of the thread.
pub(super) struct Run {
    dir: PathBuf,
    /// `None` while the directory is lost.
    watch: Option<DirWatch>,
    times: Times,
    file_max: u64,
    signals: Receiver<Signal>,
    wake: SignalSender<Signal>,
    events: Sender<IntakeEvent>,
    stop: Arc<AtomicBool>,
    settling: Settling,
    /// Content of each file that was read: one taking per content.
    contents: BTreeMap<PathBuf, Digest>,
    /// When the directory is read next, or looked for.
    next_scan: Instant,
}

/// The host has gone, or wants us to end.
struct Ended;

impl Run {
    #[expect(
        clippy::too_many_arguments,
        reason = "called once, by the one that makes all the parts"
    )]
    pub(super) fn new(
        dir: PathBuf,
        watch: DirWatch,
        times: Times,
        file_max: u64,
        signals: Receiver<Signal>,
        wake: SignalSender<Signal>,
        events: Sender<IntakeEvent>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let (settling, contents) = (Settling::new(times.settle), BTreeMap::new());
        let next_scan = Instant::now() + times.rescan;
        Run {
            dir,
            watch: Some(watch),
            times,
            file_max,
            signals,
            wake,
            events,
            stop,
            settling,
            contents,
            next_scan,
        }
    }

    /// What lies there now counts as there from the start. Before the thread begins, so that the line is a sharp one.
    pub(super) fn take_stock(&mut self) -> io::Result<()> {
        self.settling.scanned(&files(&self.dir)?, true, Instant::now());
        Ok(())
    }

    /// Runs until the watcher is dropped or nobody takes the events any more.
    pub(super) fn run(mut self) {
        // Both ways to end are quiet ones.
        let _: Result<(), Ended> = self.work();
    }

    fn work(&mut self) -> Result<(), Ended> {
        loop {
            let now = Instant::now();
            let due = self.settling.next().filter(|_| self.watch.is_some());
            let until = due.map_or(self.next_scan, |due| due.min(self.next_scan));
            match self.signals.recv_timeout(until.saturating_duration_since(now)) {
                Ok(signal) => self.hear(signal)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Ended),
            }
            // A burst is heard to its end first: it may say that the file is not at rest.
            while let Ok(signal) = self.signals.try_recv() {
                self.hear(signal)?;
            }
            let now = Instant::now();
            if self.stop.load(Ordering::Acquire) || self.events.is_closed() {
                return Err(Ended);
            }
            if now >= self.next_scan {
                self.scan()?;
            }
            if self.watch.is_some() {
                for settled in self.settling.settled(now, look) {
                    self.read(&settled)?;
                }
            }
        }
    }

    fn hear(&mut self, signal: Signal) -> Result<(), Ended> {
        match signal {
            Signal::Heard(path, what) => self.settling.heard(&path, what, Instant::now()),
            Signal::Gone(path) => {
                if self.settling.removed(&path) {
                    self.gone(path)?;
                }
            }
            Signal::Rescan => self.next_scan = Instant::now(),
            Signal::Stop => {}
        }
        Ok(())
    }

    /// A file that was told of is there no more.
    fn gone(&mut self, path: PathBuf) -> Result<(), Ended> {
        if let Some(digest) = self.contents.remove(&path) {
            // A copy of it was only "touched" until now: from here on it stands for the content.
            let copies: Vec<_> = self
                .contents
                .iter()
                .filter(|(_, other)| **other == digest)
                .map(|(path, _)| path.clone())
                .collect();
            for copy in copies {
                self.contents.remove(&copy);
                self.settling.again(&copy, Instant::now());
            }
        }
        self.deliver(IntakeEvent::Removed { path })
    }

    /// Reads the whole directory; finds it again if it was lost, and finds that it is lost.
    fn scan(&mut self) -> Result<(), Ended> {
        if let Err(error) = self.reopen() {
            self.next_scan = Instant::now() + self.times.retry;
            return self.lost(&error);
        }
        self.next_scan = Instant::now() + self.times.rescan;
        match files(&self.dir) {
            Ok(found) => {
                for path in self.settling.scanned(&found, false, Instant::now()) {
                    self.gone(path)?;
                }
                Ok(())
            }
            Err(error) => {
                self.next_scan = Instant::now() + self.times.retry;
                self.lost(&error.to_string())
            }
        }
    }

    /// Makes sure that the watch is on the directory that stands under the path now.
    fn reopen(&mut self) -> Result<(), String> {
        let now = identity(&self.dir).map_err(|error| error.to_string())?;
        if self.watch.as_ref().is_some_and(|watch| watch.identity == now) {
            return Ok(());
        }
        // Listing is tried before the watch is called good: without the right to read there are no files.
        files(&self.dir).map_err(|error| error.to_string())?;
        let was_lost = self.watch.is_none();
        self.watch = Some(DirWatch::open(&self.dir, self.wake.clone()).map_err(|error| error.to_string())?);
        if was_lost {
            // If the host has gone, the next delivery says so.
            let _: Result<(), Ended> = self.deliver(IntakeEvent::WatchBack);
        }
        Ok(())
    }

    /// Tells it once. Files are not "removed" by this: the directory may be a mount that comes back.
    fn lost(&mut self, why: &str) -> Result<(), Ended> {
        match self.watch.take() {
            Some(_) => self.deliver(IntakeEvent::WatchLost { why: why.to_owned() }),
            None => Ok(()),
        }
    }

    fn read(&mut self, settled: &Settled) -> Result<(), Ended> {
        let path = &settled.path;
        match take(path, self.file_max) {
            Ok(mut taken) => {
                taken.at_start = settled.at_start;
                let digest = taken.digest;
                let known = self.contents.values().any(|other| *other == digest);
                self.contents.insert(path.clone(), digest);
                self.deliver(match known {
                    true => IntakeEvent::Touched {
                        path: path.clone(),
                        digest,
                    },
                    false => IntakeEvent::Taken(taken),
                })
            }
            // Its removal will be heard of, or has been.
            Err(TakeError::Vanished) => Ok(()),
            Err(TakeError::Changing) => {
                self.settling.again(path, Instant::now());
                Ok(())
            }
            Err(error) => {
                self.contents.remove(path);
                self.deliver(IntakeEvent::Refused {
                    path: path.clone(),
                    error,
                    at_start: settled.at_start,
                })
            }
        }
    }

    /// Gives an event to the host, waiting while its queue is full.
    fn deliver(&self, mut event: IntakeEvent) -> Result<(), Ended> {
        loop {
            match self.events.try_send(event) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Closed(_)) => return Err(Ended),
                Err(TrySendError::Full(back)) => event = back,
            }
            if self.stop.load(Ordering::Acquire) {
                return Err(Ended);
            }
            std::thread::sleep(FULL_QUEUE);
        }
    }
}

/// What a file looks like, without following a link.
fn look(path: &Path) -> Option<Stat> {
    std::fs::symlink_metadata(path).ok().as_ref().map(Stat::of)
}

/// The files of a directory that are looked at.
fn files(dir: &Path) -> io::Result<BTreeMap<PathBuf, Stat>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if is_wasm(&path)
            && let Some(stat) = look(&path)
        {
            found.insert(path, stat);
        }
    }
    Ok(found)
}
