//! The client of the control protocol: what the command line uses, and what programs may use.
//!
//! Every request has a connection of its own. Dropping the future of a request closes it: a call that has not started is then taken
//! out of its queue (R10), everything else goes on in the host.

use super::protocol::{
    ApplyRequest, BackupReport, BackupRequest, CallReply, CallRequest, DiffReport, EventLine, Exit, Failure,
    ForgetReleaseRequest, ForgetRequest, GcReport, GcRequest, Held, HistoryEntry, HoldRequest, InstallRequest,
    InstalledRelease, PROTOCOL, PermanentReport, ReleaseStatus, RemoveRequest, RunningRelease, StateShown, Status,
    StopReport, UndoRequest, UpgradeReport, VersionStatus, WhyReport,
};
use super::socket::{check_length, own_uid};
use super::target::encode;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

/// The longest line of an event stream.
const LINE_MAX: usize = 16 << 20;

/// Talks to the host at a socket. Holds no connection.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

/// A connection that lives as long as somebody reads from it.
#[derive(Debug)]
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Client {
    /// A client of the host at this socket ([`default_path`](super::socket::default_path) is where hosts are by default). Does not
    /// connect yet.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What runs.
    ///
    /// # Errors
    /// As all methods of this type: what the host says, or `not-running` (exit code 3) where there is none.
    pub async fn status(&self) -> Result<Status, Failure> {
        self.get("/status").await
    }

    /// Calls a function.
    ///
    /// # Errors
    /// With [`Failure::call`] where the call failed; it says whether it was executed.
    pub async fn call(&self, request: &CallRequest) -> Result<CallReply, Failure> {
        self.post("/call", request).await
    }

    /// Applies a relup or a module file; returns when its switch is made, or why it was not.
    ///
    /// # Errors
    /// What was refused, or the phase in which it was called off.
    pub async fn apply(&self, request: &ApplyRequest) -> Result<UpgradeReport, Failure> {
        self.post("/apply", request).await
    }

    /// Goes one revision back.
    ///
    /// # Errors
    /// As [`Client::apply`].
    pub async fn undo(&self, request: &UndoRequest) -> Result<UpgradeReport, Failure> {
        self.post("/undo", request).await
    }

    /// Takes a module out of the release.
    ///
    /// # Errors
    /// As [`Client::apply`].
    pub async fn remove(&self, request: &RemoveRequest) -> Result<UpgradeReport, Failure> {
        self.post("/remove", request).await
    }

    /// The versions that the host knows: of one module, or of all.
    ///
    /// # Errors
    /// What the host says.
    pub async fn versions(&self, module: Option<&str>) -> Result<Vec<VersionStatus>, Failure> {
        let query = module
            .map(|module| format!("?module={}", encode(module)))
            .unwrap_or_default();
        self.get(&format!("/versions{query}")).await
    }

    /// What runs is what the host boots from now on.
    ///
    /// # Errors
    /// What the host says.
    pub async fn permanent(&self) -> Result<PermanentReport, Failure> {
        self.command("/permanent").await
    }

    /// The release that runs, as a value.
    ///
    /// # Errors
    /// What the host says.
    pub async fn release(&self) -> Result<RunningRelease, Failure> {
        self.get("/release").await
    }

    /// The revisions that the host keeps, of one status or all.
    ///
    /// # Errors
    /// What the host says.
    pub async fn releases(&self, status: Option<&str>) -> Result<Vec<ReleaseStatus>, Failure> {
        let query = status.map(|status| format!("?status={}", encode(status)));
        self.get(&format!("/releases{}", query.unwrap_or_default())).await
    }

    /// What was attempted: the newest `limit`, or all.
    ///
    /// # Errors
    /// What the host says.
    pub async fn history(&self, limit: Option<usize>) -> Result<Vec<HistoryEntry>, Failure> {
        let query = limit.map(|limit| format!("?limit={limit}"));
        self.get(&format!("/history{}", query.unwrap_or_default())).await
    }

    /// How two revisions differ.
    ///
    /// # Errors
    /// What the host says.
    pub async fn diff(&self, from: u64, to: u64) -> Result<DiffReport, Failure> {
        self.get(&format!("/diff?from={from}&to={to}")).await
    }

    /// What keeps a version, written `name@version`.
    ///
    /// # Errors
    /// What the host says.
    pub async fn why(&self, version: &str) -> Result<WhyReport, Failure> {
        self.get(&format!("/why?version={}", encode(version))).await
    }

    /// Drops and applies wait from now on.
    ///
    /// # Errors
    /// What the host says.
    pub async fn hold(&self, request: &HoldRequest) -> Result<Held, Failure> {
        self.post("/hold", request).await
    }

    /// They wait no longer.
    ///
    /// # Errors
    /// What the host says.
    pub async fn release_hold(&self) -> Result<Held, Failure> {
        self.command("/release-hold").await
    }

    /// Forgets a revision.
    ///
    /// # Errors
    /// What the host says.
    pub async fn forget(&self, request: &ForgetRequest) -> Result<GcReport, Failure> {
        self.post("/forget", request).await
    }

    /// Tells where a release is installed.
    ///
    /// # Errors
    /// What the host says.
    pub async fn install(&self, request: &InstallRequest) -> Result<InstalledRelease, Failure> {
        self.post("/install", request).await
    }

    /// Forgets that a release is installed.
    ///
    /// # Errors
    /// What the host says.
    pub async fn forget_release(&self, request: &ForgetReleaseRequest) -> Result<InstalledRelease, Failure> {
        self.post("/forget-release", request).await
    }

    /// Forgets what nobody will go back to.
    ///
    /// # Errors
    /// What the host says.
    pub async fn gc(&self, request: &GcRequest) -> Result<GcReport, Failure> {
        self.post("/gc", request).await
    }

    /// Copies all that the host keeps into a new folder.
    ///
    /// # Errors
    /// What the host says.
    pub async fn backup(&self, request: &BackupRequest) -> Result<BackupReport, Failure> {
        self.post("/backup", request).await
    }

    /// Events after the number `since`; with `follow`, those to come too. `u64::MAX` leaves out all that have been.
    ///
    /// # Errors
    /// What the host says.
    pub async fn events(&self, since: u64, follow: bool) -> Result<EventStream, Failure> {
        let path = format!("/events?since={since}&follow={follow}");
        let (connection, response) = self.ask(Method::GET, &path, "application/json", Bytes::new()).await?;
        Ok(EventStream {
            body: response.into_body(),
            buffer: BytesMut::new(),
            _connection: connection,
        })
    }

    /// A look at the state of a module, or of a key of it.
    ///
    /// # Errors
    /// What the host says.
    pub async fn state_show(&self, module: &str, key: Option<&str>) -> Result<StateShown, Failure> {
        self.get(&state_path(module, "", key)).await
    }

    /// The state as a file: a header line of JSON, then the bytes.
    ///
    /// # Errors
    /// What the host says.
    pub async fn state_export(&self, module: &str, key: Option<&str>) -> Result<Vec<u8>, Failure> {
        let path = state_path(module, "/export", key);
        self.exchange(Method::GET, &path, "application/json", Bytes::new())
            .await
            .map(Vec::from)
    }

    /// Makes an exported state the live one.
    ///
    /// # Errors
    /// What the host says.
    pub async fn state_import(&self, module: &str, key: Option<&str>, file: Vec<u8>) -> Result<StateShown, Failure> {
        let path = state_path(module, "/import", key);
        read(
            &self
                .exchange(Method::POST, &path, "application/octet-stream", file.into())
                .await?,
        )
    }

    /// Lets the module (or the key) start empty.
    ///
    /// # Errors
    /// What the host says.
    pub async fn state_reset(&self, module: &str, key: Option<&str>) -> Result<StateShown, Failure> {
        self.command(&state_path(module, "/reset", key)).await
    }

    /// Gives the module (or the key) its newest saved state back.
    ///
    /// # Errors
    /// What the host says.
    pub async fn state_restore(&self, module: &str, key: Option<&str>) -> Result<StateShown, Failure> {
        self.command(&state_path(module, "/restore", key)).await
    }

    /// Stops the host; returns when everything is saved.
    ///
    /// # Errors
    /// What the host says.
    pub async fn stop(&self) -> Result<StopReport, Failure> {
        self.command("/stop").await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        read(
            &self
                .exchange(Method::GET, path, "application/json", Bytes::new())
                .await?,
        )
    }

    async fn command<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        read(
            &self
                .exchange(Method::POST, path, "application/json", Bytes::new())
                .await?,
        )
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &(impl Serialize + Sync)) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| {
            // A path that is no UTF-8 has no form in JSON.
            Failure::new(
                "bad-request",
                Exit::Usage,
                format!("this cannot be sent to the host: {error}"),
            )
        })?;
        read(
            &self
                .exchange(Method::POST, path, "application/json", body.into())
                .await?,
        )
    }

    async fn exchange(&self, method: Method, path: &str, content: &str, body: Bytes) -> Result<Bytes, Failure> {
        let (_connection, response) = self.ask(method, path, content, body).await?;
        Ok(response
            .into_body()
            .collect()
            .await
            .map_err(|_| self.lost())?
            .to_bytes())
    }

    /// Sends a request; an answer that is a failure is one here.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        content: &str,
        body: Bytes,
    ) -> Result<(Connection, Response<Incoming>), Failure> {
        let stream = self.connect().await?;
        let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| self.lost())?;
        // An error of the connection is an error of the request, which tells of it.
        let connection = Connection(tokio::spawn(async move { drop(driver.await) }));
        let request = Request::builder()
            .method(method)
            .uri(format!("/{PROTOCOL}{path}"))
            .header(HOST, "localhost")
            .header(CONTENT_TYPE, content)
            .body(Full::new(body))
            .map_err(|error| Failure::new("bad-request", Exit::Usage, error.to_string()))?;
        let response = sender.send_request(request).await.map_err(|_| self.lost())?;
        if response.status().is_success() {
            return Ok((connection, response));
        }
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|_| self.lost())?
            .to_bytes();
        Err(serde_json::from_slice(&body).unwrap_or_else(|_| strange(&format!("HTTP status {status}"))))
    }

    async fn connect(&self) -> Result<UnixStream, Failure> {
        check_length(&self.socket)?;
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| self.not_connected(&error))?;
        // In a directory that everybody may write in, anybody could have made the socket.
        let theirs = stream.peer_cred().map_err(|error| self.not_connected(&error))?.uid();
        let ours = own_uid();
        if ours != 0 && ![ours, 0].contains(&theirs) {
            let message = format!(
                "{}: the host at this socket is run by another user (uid {theirs})",
                self.socket.display()
            );
            return Err(Failure::new("not-ours", Exit::Failed, message));
        }
        Ok(stream)
    }

    fn not_connected(&self, error: &io::Error) -> Failure {
        let socket = self.socket.display();
        match error.kind() {
            // Reset: it ended before it took the connection. Nothing has been asked then.
            ErrorKind::NotFound
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::NotADirectory => {
                let message = format!("no host is running at {socket}; start one with `wasmhot run DIR`");
                Failure::new("not-running", Exit::NotRunning, message)
            }
            _ => Failure::new("no-connection", Exit::Failed, format!("{socket}: {error}")),
        }
    }

    fn lost(&self) -> Failure {
        let message = format!(
            "the host at {} closed the connection before it answered; what was asked for may have been done",
            self.socket.display()
        );
        Failure::new("connection-lost", Exit::Failed, message)
    }
}

fn state_path(module: &str, verb: &str, key: Option<&str>) -> String {
    let query = key.map(|key| format!("?key={}", encode(key))).unwrap_or_default();
    format!("/state/{}{verb}{query}", encode(module))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| strange(&error.to_string()))
}

fn strange(what: &str) -> Failure {
    let message = format!(
        "the host answered something that this wasmhot does not understand ({what}); are they the same version?"
    );
    Failure::new("strange-answer", Exit::Failed, message)
}

/// Events as they come.
#[derive(Debug)]
pub struct EventStream {
    body: Incoming,
    buffer: BytesMut,
    _connection: Connection,
}

impl EventStream {
    /// The next one; `None` when there are no more, or the host has stopped. May be dropped while it waits: nothing is lost.
    ///
    /// # Errors
    /// A line that is no event.
    pub async fn next(&mut self) -> Result<Option<EventLine>, Failure> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                return read(&line).map(Some);
            }
            if self.buffer.len() > LINE_MAX {
                return Err(strange("a line without end"));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.buffer.extend_from_slice(&frame.into_data().unwrap_or_default()),
                // A host that was killed ends the stream as one that stopped does.
                Some(Err(_)) | None => return Ok(None),
            }
        }
    }
}
