//! `wasi:http/outgoing-handler`: where a guest may send requests (R8). Nowhere, unless that is granted.

use super::super::outside::Reach;
use http_body_util::BodyExt;
use std::sync::Arc;
use wasmhot_appup::Capability;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, default_send_request};

/// Decides over each outgoing request of one instance.
#[derive(Debug)]
pub(crate) struct Outgoing(Arc<Reach>);

type Sent = Result<(http::Response<WasiBody>, Written), Error>;
/// Ends when the connection does; an error of it is the guest's to see.
type Written = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl Outgoing {
    pub(crate) fn new(reach: &Arc<Reach>) -> Self {
        Self(Arc::clone(reach))
    }

    fn may_send(&self, uri: &http::Uri) -> bool {
        let tls = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let host = uri.host().unwrap_or_default();
        // A name before the host is for servers of another kind; nobody grants it.
        let is_plain = uri
            .authority()
            .is_some_and(|authority| !authority.as_str().contains('@'));
        let granted = |grant: &wasmhot_appup::HttpGrant| grant.allows(tls, host, port, uri.path());
        let is_granted = is_plain && self.0.grants.http.iter().any(granted);
        let scheme = if tls { "https" } else { "http" };
        let usual = port == if tls { 443 } else { 80 };
        let place = if usual {
            format!("{scheme}://{host}")
        } else {
            format!("{scheme}://{host}:{port}")
        };
        let grant = format!("http = [\"{place}\"]");
        // Only the place: what follows it may be secret.
        self.0
            .may(
                Capability::Http,
                is_granted,
                || format!("a request to {place}"),
                || grant,
            )
            .is_ok()
    }
}

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Written,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        if !self.may_send(request.uri()) {
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        Box::new(async move {
            let (response, connection) = default_send_request(request, options).await?;
            Ok((response.map(BodyExt::boxed_unsync), Box::new(connection) as Written))
        })
    }
}
