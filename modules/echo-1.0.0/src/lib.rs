//! A site without state: what it is asked to count it passes on to a counter, which is another module.

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
    use wasip2::http::types::{IncomingRequest, ResponseOutparam};

    impl wasip2::exports::http::incoming_handler::Guest for Echo {
        fn handle(request: IncomingRequest, response: ResponseOutparam) {
            shared_http::answer(request, response, |work| work(&mut Echo));
        }
    }

    wasip2::http::proxy::export!(Echo);
}
