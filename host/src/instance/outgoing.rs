//! What a guest may send by HTTP (R8). Nothing, as long as nothing grants it.

use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// Decides over each outgoing request of one instance.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {}

type Sent = Result<(http::Response<WasiBody>, Written), Error>;
/// Ends when the connection does; an error of it is the guest's to see.
type Written = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        _request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _processed: Written,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}
