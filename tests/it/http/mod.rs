//! HTTP from the network: modules that answer requests, over connections that outlive upgrades.

mod beside;
mod calls;
mod keepalive;
mod limits;
mod problems;
mod routes;
mod slow;
mod stop;
mod wrk;

use crate::support::{HANG, World, guest};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use wasmhot::HostBuilder;
use wasmhot::http::{Listener, serve};
use wasmhot_appup::{HostSettings, HttpSettings};

type Body = BoxBody<Bytes, Infallible>;

/// A host that serves HTTP.
pub(crate) struct Site {
    pub(crate) world: World,
    pub(crate) address: SocketAddr,
    served: JoinHandle<()>,
}

impl Site {
    /// Calls that run in whatever module.
    fn running(&self) -> u64 {
        let modules = self.world.host.status().modules;
        modules.iter().map(|module| module.running).sum()
    }

    async fn of(guests: &[&str]) -> Self {
        Self::serving(World::of(guests).await)
    }

    async fn with(guests: &[&str], settings: impl FnOnce(HostBuilder) -> HostBuilder) -> Self {
        Self::serving(World::with(guests, settings).await)
    }

    /// With limits of its own.
    async fn limited(guests: &[&str], http: HttpSettings) -> Self {
        let settings = HostSettings {
            http,
            ..HostSettings::default()
        };
        Self::with(guests, |builder| builder.settings(settings)).await
    }

    pub(crate) fn serving(world: World) -> Self {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.address();
        let served = tokio::spawn(serve(listener, world.host.clone()));
        Self { world, address, served }
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn client(&self) -> Client {
        Client::new(self.tcp().await).await
    }

    /// Whether there is a good answer to its last byte, on a connection of its own.
    async fn looks_whole(&self, path: &str) -> bool {
        match self.client().await.send(get(path)).await {
            Ok(response) => Answer::of(response).await.is_ok_and(|answer| answer.status == 200),
            Err(_) => false,
        }
    }

    /// One request on a connection of its own.
    async fn get(&self, path: &str) -> Answer {
        get_from(self.address, path).await
    }
}

/// One request on a connection of its own.
pub(crate) async fn get_from(address: SocketAddr, path: &str) -> Answer {
    let stream = TcpStream::connect(address).await.unwrap();
    Client::new(stream).await.get(path).await
}

impl Drop for Site {
    fn drop(&mut self) {
        self.served.abort();
    }
}

/// What came back.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    retry_after: bool,
}

impl Answer {
    async fn of(response: Response<Incoming>) -> Result<Self, hyper::Error> {
        let status = response.status().as_u16();
        let retry_after = response.headers().contains_key("retry-after");
        let body = response.into_body().collect().await?.to_bytes();
        Ok(Self {
            status,
            body: String::from_utf8_lossy(&body).into_owned(),
            retry_after,
        })
    }

    /// The text of a good answer.
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        self.body
    }

    /// The code in an answer of this status.
    #[track_caller]
    fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.retry_after, status == 503, "{self:?}");
        let told: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        told["code"].as_str().unwrap_or_default().to_string()
    }
}

/// One connection of HTTP/1.1, which is never made anew.
struct Client(http1::SendRequest<Body>);

impl Client {
    async fn new(stream: TcpStream) -> Self {
        let (client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        // Ends with the client, or when the host closes it.
        tokio::spawn(connection);
        Self(client)
    }

    async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, hyper::Error> {
        let sent = async {
            self.0.ready().await?;
            self.0.send_request(request).await
        };
        tokio::time::timeout(HANG, sent).await.expect("an answer")
    }

    async fn ask(&mut self, request: Request<Body>) -> Answer {
        let response = self.send(request).await.unwrap();
        Answer::of(response).await.unwrap()
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.ask(get(path)).await
    }

    async fn post(&mut self, path: &str, json: &str) -> Answer {
        self.ask(post(path, json)).await
    }
}

async fn h2c(stream: TcpStream) -> http2::SendRequest<Body> {
    let io = TokioIo::new(stream);
    let (client, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    client
}

fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed()
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).header("host", "test").body(whole("")).unwrap()
}

fn post(path: &str, json: &str) -> Request<Body> {
    let request = Request::post(path).header("host", "test");
    let request = request.header("content-type", "application/json");
    request.body(whole(json.to_string())).unwrap()
}

/// The same module with other bytes: a custom section more at its end.
fn other_bytes(name: &str, mark: u8) -> Vec<u8> {
    let mut bytes = std::fs::read(guest(name)).unwrap();
    // Section 0, of three bytes: a name of one byte, and the mark.
    bytes.extend_from_slice(&[0, 3, 1, b'm', mark]);
    bytes
}

fn page(version: &str) -> PathBuf {
    guest(&format!("page-{version}"))
}
