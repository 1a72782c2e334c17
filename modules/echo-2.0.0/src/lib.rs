//! A site without state, version 2.0.0: by the handler of WASI 0.3, which streams both ways.

use shared_http::Site;

struct Echo;

wasmhot_guest::module! {
    name: "echo",
    world: "echo",
    exports: Echo,
}

impl bindings::Guest for Echo {
    fn version() -> String {
        env!("CARGO_PKG_VERSION").into()
    }
}

impl Site for Echo {
    fn version(&self) -> String {
        <Self as bindings::Guest>::version()
    }

    fn count(&mut self) -> u64 {
        0
    }

    fn describe(&self) -> String {
        "no state".into()
    }

    fn record(&mut self, client: &str, _: u64) -> Result<u64, String> {
        Err(format!("{client}: nothing is kept here"))
    }

    fn pass_on(&self, by: i64) -> String {
        bindings::increment(by).to_string()
    }
}

// As in `page`.
#[cfg(target_family = "wasm")]
mod handler {
    use super::Echo;
    use wasip3::http::types::{ErrorCode, Request, Response};

    impl wasip3::exports::http::handler::Guest for Echo {
        async fn handle(request: Request) -> Result<Response, ErrorCode> {
            shared_service::answer::<Echo>(request, |work| work(&mut Echo)).await
        }
    }

    wasip3::http::service::export!(Echo);
}
