//! Takes connections, as many as there may be, until the host stops.

use super::connection::Serving;
use crate::accept::Refusals;
use crate::control::protocol::{Exit, Failure};
use crate::host::Host;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

/// So many clients at once are told that there are too many; the next ones wait until they are heard.
const TURNED_AWAY_MAX: usize = 64;
/// How long responses that are being sent may take when the host has stopped.
const GOODBYE: Duration = Duration::from_secs(5);

/// A bound address. From here on clients can connect; they are answered once it is served.
#[derive(Debug)]
pub struct Listener {
    listener: std::net::TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds an address; port 0 is any free one.
    ///
    /// # Errors
    /// In use, or not to be had.
    pub fn bind(address: SocketAddr) -> Result<Self, Failure> {
        let bound = std::net::TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        });
        bound.map_err(|error| {
            let message = format!("{address}: {error}; choose another address with --listen");
            Failure::new("address-unusable", Exit::Failed, message)
        })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Serves `host` over HTTP until it stops: requests that are under way then are answered, and their responses sent for up to 5 s more.
/// Runs on the runtime it is called on, which is not that of the guests.
pub async fn serve(listener: Listener, host: Host) {
    let address = listener.address;
    let listener = match TcpListener::from_std(listener.listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!("{address}: cannot be served: {error}");
            host.note_listening(None);
            return;
        }
    };
    host.note_listening(Some(address));
    let serving = Arc::new(Serving::new(host.clone()));
    let (stop, stopping) = watch::channel(false);
    let places = Places::new(serving.settings.connections_max() as usize);
    let mut connections = JoinSet::new();
    loop {
        let taken = async {
            let stream = accept(&listener).await;
            (stream, places.take().await)
        };
        let (stream, place) = tokio::select! {
            biased;
            () = host.stops() => break,
            taken = taken => taken,
        };
        host.note_connection();
        while connections.try_join_next().is_some() {}
        let (serving, stopping) = (Arc::clone(&serving), stopping.clone());
        connections.spawn(async move {
            match place {
                Place::Served(_) => serving.connection(stream, stopping).await,
                Place::TurnedAway(_) => serving.turn_away(stream).await,
            }
        });
    }
    // Nobody connects any more; who is connected gets what he waits for.
    drop(listener);
    host.note_listening(None);
    let _ = stop.send(true);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    tokio::select! {
        () = all_ended => {}
        () = async {
            host.stopped().await;
            tokio::time::sleep(GOODBYE).await;
        } => {}
    }
    connections.shutdown().await;
}

/// Where connections are.
struct Places {
    served: Arc<Semaphore>,
    turned_away: Arc<Semaphore>,
}

/// The place of one connection, taken until it is dropped.
enum Place {
    Served(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit),
    /// There is none to be served at: it is told so.
    TurnedAway(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit),
}

impl Places {
    fn new(served: usize) -> Self {
        Self {
            served: Arc::new(Semaphore::new(served)),
            turned_away: Arc::new(Semaphore::new(TURNED_AWAY_MAX)),
        }
    }

    /// A place for the next connection. Where too many are being turned away, it waits for the first that is free of either kind.
    async fn take(&self) -> Place {
        // Never closed.
        tokio::select! {
            biased;
            Ok(place) = Arc::clone(&self.served).acquire_owned() => Place::Served(place),
            Ok(place) = Arc::clone(&self.turned_away).acquire_owned() => Place::TurnedAway(place),
            else => std::future::pending().await,
        }
    }
}

async fn accept(listener: &TcpListener) -> tokio::net::TcpStream {
    let mut refusals = Refusals::default();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Small responses go at once. A connection that cannot do that is gone already.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(error) => refusals.pause("http", &error).await,
        }
    }
}
