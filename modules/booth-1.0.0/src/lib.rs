//! Booths that count their visits. The module is keyed: an instance is one booth, and its key stands in the path of each request.

use shared_http::Site;
use std::collections::BTreeMap;
use wasmhot_guest::Stateful;

/// What an upgrade hands over, for each booth.
#[wasmhot_guest::state]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// How often it was visited.
    pub visits: u64,
    /// The last number of each client that numbers its visits.
    pub clients: BTreeMap<String, u64>,
}

wasmhot_guest::module! {
    name: "booth",
    kind: keyed,
    state: State,
}

/// The site, with its state.
pub struct Own<'s>(pub &'s mut State);

impl Site for Own<'_> {
    fn version(&self) -> String {
        State::VERSION.into()
    }

    fn count(&mut self) -> u64 {
        self.0.visits += 1;
        self.0.visits
    }

    fn describe(&self) -> String {
        format!("{} visits", self.0.visits)
    }

    fn record(&mut self, client: &str, number: u64) -> Result<u64, String> {
        let last = self.0.clients.entry(client.into()).or_default();
        if number != *last + 1 {
            return Err(format!("{client}: expected {}, got {number}", *last + 1));
        }
        *last = number;
        Ok(self.0.clients.values().sum())
    }
}

// What [`wasip2`] makes of it is for Wasm only: natively, two versions of a module are linked into one test.
#[cfg(target_family = "wasm")]
mod handler {
    use super::{Own, State, Stateful};
    use wasip2::http::types::{IncomingRequest, ResponseOutparam};

    struct Handler;

    impl wasip2::exports::http::incoming_handler::Guest for Handler {
        fn handle(request: IncomingRequest, response: ResponseOutparam) {
            shared_http::answer(request, response, |work| State::with_mut(|state| work(&mut Own(state))));
        }
    }

    wasip2::http::proxy::export!(Handler);
}
