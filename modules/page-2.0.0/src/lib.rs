//! A page that counts its visits, version 2.0.0: requests run beside each other, by `wasi:http/handler` (WASI 0.3). It takes over the
//! state of 1.0.0, which answers by the handler of WASI 0.2.

use shared_http::Site;
use std::collections::BTreeMap;
use wasmhot_guest::Stateful;

/// What an upgrade hands over, as 1.0.0 does.
#[wasmhot_guest::state]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// How often it was visited.
    pub visits: u64,
    /// The last number of each client that numbers its visits.
    pub clients: BTreeMap<String, u64>,
}

// What 1.0.0 reads is the same.
impl From<&State> for State {
    fn from(state: &State) -> Self {
        state.clone()
    }
}

wasmhot_guest::module! {
    name: "page",
    kind: single,
    state: State,
    reads: { "~1.0" => State },
    writes: { "~1.0" => State },
}

impl Site for State {
    fn version(&self) -> String {
        State::VERSION.into()
    }

    fn count(&mut self) -> u64 {
        self.visits += 1;
        self.visits
    }

    fn describe(&self) -> String {
        format!("{} visits", self.visits)
    }

    fn record(&mut self, client: &str, number: u64) -> Result<u64, String> {
        let last = self.clients.entry(client.into()).or_default();
        if number != *last + 1 {
            return Err(format!("{client}: expected {}, got {number}", *last + 1));
        }
        *last = number;
        Ok(self.clients.values().sum())
    }
}

// As in 1.0.0.
#[cfg(target_family = "wasm")]
mod handler {
    use super::{State, Stateful};
    use wasip3::http::types::{ErrorCode, Request, Response};

    struct Handler;

    impl wasip3::exports::http::handler::Guest for Handler {
        async fn handle(request: Request) -> Result<Response, ErrorCode> {
            shared_service::answer::<State>(request, |work| State::with_mut(|state| work(state))).await
        }
    }

    wasip3::http::service::export!(Handler);
}
