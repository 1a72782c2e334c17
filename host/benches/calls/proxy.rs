//! The HTTP server that one gets from `wasmtime-wasi-http` alone: hyper, a `ProxyPre`, and an instance that stays or one for each
//! request. What is asked for as `/constant` is answered without any.

use super::bare::Data;
use super::guest;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, oneshot};
use wasmhot::version::{EngineKind, EngineSettings, Engines};
use wasmtime::Store;
use wasmtime::component::{Component, Linker};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::bindings::{Proxy, ProxyPre};

/// What answers requests.
struct Server {
    pre: ProxyPre<Data>,
    /// The instance that stays.
    kept: Option<Mutex<(Store<Data>, Proxy)>>,
    _engines: Engines,
}

type Answer = wasmtime::Result<Response<Full<Bytes>>>;

impl Server {
    async fn new(file: &str, keeps: bool) -> wasmtime::Result<Self> {
        let engines = Engines::new(&EngineSettings::default())?;
        let engine = engines.get(EngineKind::Plain);
        let component = Component::from_file(engine, guest(file))?;
        let mut linker = Linker::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        // The function of another module that `echo` imports; it is not called here.
        linker.root().func_wrap("increment", |_, (by,): (i64,)| Ok((by,)))?;
        let mut server = Self {
            pre: ProxyPre::new(linker.instantiate_pre(&component)?)?,
            kept: None,
            _engines: engines,
        };
        if keeps {
            server.kept = Some(Mutex::new(server.instance().await?));
        }
        Ok(server)
    }

    async fn instance(&self) -> wasmtime::Result<(Store<Data>, Proxy)> {
        let mut store = Store::new(self.pre.engine(), Data::new());
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let proxy = self.pre.instantiate_async(&mut store).await?;
        Ok((store, proxy))
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        if request.uri().path() == "/constant" {
            return Ok(Response::new(Full::from("1")));
        }
        match &self.kept {
            Some(kept) => {
                let (store, proxy) = &mut *kept.lock().await;
                handle(store, proxy, request).await
            }
            None => {
                let (mut store, proxy) = self.instance().await?;
                handle(&mut store, &proxy, request).await
            }
        }
    }
}

async fn handle(store: &mut Store<Data>, proxy: &Proxy, request: Request<Incoming>) -> Answer {
    let (set, taken) = oneshot::channel();
    let request = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
    let out = store.data_mut().http().new_response_outparam(set)?;
    let call = proxy.wasi_http_incoming_handler().call_handle(store, request, out);
    // The guest may wait until its body is taken.
    let whole = async {
        let response: Result<_, ErrorCode> = taken.await.map_err(wasmtime::Error::from)?;
        let (head, body) = response?.into_parts();
        let body = body.collect().await.map_err(|error| wasmtime::format_err!("{error}"))?;
        Ok(Response::from_parts(head, Full::new(body.to_bytes())))
    };
    let (called, whole) = tokio::join!(call, whole);
    called?;
    whole
}

/// Serves a guest on a thread of its own for the rest of the process, and says where.
pub(crate) fn serve(file: &'static str, keeps: bool) -> anyhow::Result<SocketAddr> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let server = runtime.block_on(Server::new(file, keeps));
    let server = Arc::new(server.map_err(|error| anyhow::anyhow!("{file}: {error:#}"))?);
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                let (stream, _) = listener.accept().await.expect("connects");
                stream.set_nodelay(true).expect("is a socket");
                let server = Arc::clone(&server);
                let service = service_fn(move |request| {
                    let server = Arc::clone(&server);
                    async move { server.answer(request).await }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
    });
    Ok(address)
}
