//! Tries what a host lets it reach by WASI 0.3, and says what came of it: for tests, and as an example of each interface. The explorer
//! does it by WASI 0.2.

mod fetch;
mod network;

use bindings::exports::demo::scout::tries::Guest;
use std::fmt::Debug;
use wasip3::cli::environment;
use wasmhot_guest::{Change, Stateful, wit_bindgen::block_on};

/// What an upgrade hands over.
#[wasmhot_guest::state]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// What `migrate` shall try.
    plan: Option<Plan>,
    /// What came of it.
    tried: Vec<String>,
}

/// Where to.
#[wasmhot_guest::state]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    host: String,
    port: u16,
}

struct Scout;

wasmhot_guest::module! {
    name: "scout",
    kind: single,
    world: "scout",
    exports: Scout,
    state: State,
    reads: { "*" => State via migrate },
    writes: { "*" => State via |state, _| Ok(state.clone()) },
}

/// What an interface said, as text.
fn said(error: impl Debug) -> String {
    format!("{error:?}")
}

/// It cannot wait, being no async function: what is refused is so at once.
fn migrate(state: State, _: &Change) -> Result<State, String> {
    let Some(Plan { host, port }) = state.plan.clone() else {
        return Ok(state);
    };
    let tried = block_on(async move {
        let authority = format!("{host}:{port}");
        vec![
            said(network::connect("127.0.0.1", port, "hi").await),
            said(network::ask(&format!("127.0.0.1:{port}"), "hi").await),
            said(network::resolve(&host).await),
            said(fetch::fetch("http", &authority, "/").await),
        ]
    });
    Ok(State { tried, ..state })
}

impl Guest for Scout {
    fn args() -> Vec<String> {
        environment::get_arguments()
    }

    fn env(name: String) -> Option<String> {
        let mut all = environment::get_environment().into_iter();
        all.find_map(|(known, value)| (known == name).then_some(value))
    }

    async fn resolve(name: String) -> Result<Vec<String>, String> {
        let found = network::resolve(&name).await?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    async fn connect(host: String, port: u16, line: String) -> Result<String, String> {
        network::connect(&host, port, &line).await
    }

    async fn listen(address: String) -> Result<(), String> {
        network::listen(&address).map(drop)
    }

    async fn overhear(address: String, line: String) -> Result<String, String> {
        network::overhear(&address, &line).await
    }

    async fn ask(address: String, text: String) -> Result<String, String> {
        network::ask(&address, &text).await
    }

    async fn fetch(scheme: String, authority: String, path: String) -> Result<String, String> {
        fetch::fetch(&scheme, &authority, &path).await
    }

    fn plan(host: String, port: u16) {
        State::with_mut(|state| state.plan = Some(Plan { host, port }));
    }

    fn tried() -> Vec<String> {
        State::with(|state| state.tried.clone())
    }
}
