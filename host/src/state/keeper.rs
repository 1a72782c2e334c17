//! The keeper writes saved states to the catalog: those that are given while it writes go together into the next transaction, so
//! that a thousand keys that are handed over at once are a few transactions and not a thousand.

use crate::store::{Catalog, Exchange, SavedState, StoreError};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Entries of the queue that go into one transaction, at most.
const BATCH: usize = 256;

/// What became of states that were given.
pub(crate) type Written = Result<(), Arc<StoreError>>;

/// The queue before the catalog. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    queue: mpsc::UnboundedSender<Entry>,
}

#[derive(Debug)]
struct Entry {
    states: Vec<SavedState>,
    exchanges: Vec<Exchange>,
    durable: bool,
    done: watch::Sender<Option<Written>>,
}

/// States on their way into the catalog: they get there whether this is waited for or not. Clones are of the same states.
#[derive(Clone, Debug)]
pub(crate) struct Kept(watch::Receiver<Option<Written>>);

impl Kept {
    /// Of states that were read from the catalog.
    pub(crate) fn read() -> Self {
        Self(watch::channel(Some(Ok(()))).1)
    }

    /// Whether they are written already.
    pub(crate) fn is_written(&self) -> bool {
        matches!(*self.0.borrow(), Some(Ok(())))
    }

    /// Returns when they are written, or could not be.
    pub(crate) async fn written(mut self) -> Written {
        let written = self.0.wait_for(Option::is_some).await;
        let written = written.ok().and_then(|written| written.clone());
        let ended = || StoreError::io(Path::new("catalog"), std::io::Error::other("the host ends"));
        written.unwrap_or_else(|| Err(Arc::new(ended())))
    }
}

impl Keeper {
    /// Starts the task that writes. It ends when the last clone is dropped and everything is written.
    pub(crate) fn start(catalog: Arc<Catalog>, guests: &tokio::runtime::Handle) -> Self {
        let (queue, entries) = mpsc::unbounded_channel();
        guests.spawn(keep(catalog, entries));
        Self { queue }
    }

    /// Takes states; `durable` ones are written when they are on disk.
    pub(crate) fn give(&self, states: Vec<SavedState>, durable: bool) -> Kept {
        self.send(states, Vec::new(), durable)
    }

    /// Takes states in another form; a crash may lose that form.
    pub(crate) fn exchange(&self, exchanges: Vec<Exchange>) -> Kept {
        self.send(Vec::new(), exchanges, false)
    }

    fn send(&self, states: Vec<SavedState>, exchanges: Vec<Exchange>, durable: bool) -> Kept {
        let (done, kept) = watch::channel(None);
        // If the task has ended with its runtime, the entry is dropped and `written` says so.
        let _ = self.queue.send(Entry {
            states,
            exchanges,
            durable,
            done,
        });
        Kept(kept)
    }
}

async fn keep(catalog: Arc<Catalog>, mut entries: mpsc::UnboundedReceiver<Entry>) {
    let mut batch = Vec::new();
    while entries.recv_many(&mut batch, BATCH).await > 0 {
        let (catalog, batch) = (Arc::clone(&catalog), std::mem::take(&mut batch));
        // An error of this is the end of the runtime: those who wait are told by the end of their channel.
        let _ = tokio::task::spawn_blocking(move || write(&catalog, batch)).await;
    }
}

/// All in one transaction; if that fails each by itself, so that one bad state does not take the others with it.
fn write(catalog: &Catalog, batch: Vec<Entry>) {
    let together = put(catalog, &batch);
    let alone = batch.len() == 1;
    for entry in batch {
        let written = match &together {
            Err(_) if !alone => put(catalog, std::slice::from_ref(&entry)),
            together => together.clone(),
        };
        // Nobody has to wait.
        let _ = entry.done.send(Some(written));
    }
}

fn put(catalog: &Catalog, batch: &[Entry]) -> Written {
    let states: Vec<&SavedState> = batch.iter().flat_map(|entry| &entry.states).collect();
    let exchanges: Vec<&Exchange> = batch.iter().flat_map(|entry| &entry.exchanges).collect();
    let count = states.len() + exchanges.len();
    if count == 0 {
        return Ok(());
    }
    let durable = batch.iter().any(|entry| entry.durable);
    let written = catalog.put_and_exchange(&states, &exchanges, durable);
    written.map_err(|error| {
        tracing::error!("{count} saved states could not be written: {error}");
        Arc::new(error)
    })
}
