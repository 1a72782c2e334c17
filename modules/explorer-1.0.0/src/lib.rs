//! Tries every capability of a host, and says what came of it: for tests, and as an example of each interface.

mod fetch;
mod keyvalue;
mod network;

use bindings::exports::demo::explorer::tries::Guest;
use bindings::wasi::config0_2_0_draft::runtime;
use bindings::wasi::config0_2_0_rc_1::store as config;
use bindings::wasi::logging::logging::{self, Level};
use std::collections::hash_map::RandomState;
use std::fmt::Debug;
use std::hash::BuildHasher;
use std::time::{SystemTime, UNIX_EPOCH};

struct Explorer;

wasmhot_guest::module! {
    name: "explorer",
    world: "explorer",
    exports: Explorer,
}

/// What an interface said, as text.
fn said(error: impl Debug) -> String {
    format!("{error:?}")
}

impl Guest for Explorer {
    fn args() -> Vec<String> {
        std::env::args().collect()
    }

    fn env(name: String) -> Option<String> {
        std::env::var(name).ok()
    }

    fn read(path: String) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(said)
    }

    fn write(path: String, text: String) -> Result<(), String> {
        std::fs::write(path, text).map_err(said)
    }

    fn resolve(name: String) -> Result<Vec<String>, String> {
        network::resolve(&name)
    }

    fn connect(host: String, port: u16) -> Result<String, String> {
        network::connect(&host, port)
    }

    fn listen(address: String) -> Result<(), String> {
        network::listen(&address)
    }

    fn ask(address: String, text: String) -> Result<String, String> {
        network::ask(&address, &text)
    }

    fn fetch(scheme: String, authority: String, path: String) -> Result<String, String> {
        fetch::fetch(&scheme, &authority, &path)
    }

    fn value(key: String) -> Result<Option<String>, String> {
        config::get(&key).map_err(said)
    }

    fn value_at_runtime(key: String) -> Result<Option<String>, String> {
        runtime::get(&key).map_err(said)
    }

    fn values() -> Result<Vec<String>, String> {
        let all = config::get_all().map_err(said)?;
        Ok(all.into_iter().map(|(key, value)| format!("{key}={value}")).collect())
    }

    fn value_twice(key: String, host: String, port: u16) -> Result<Vec<String>, String> {
        let before = config::get(&key).map_err(said)?.unwrap_or_default();
        network::connect(&host, port)?;
        let after = config::get(&key).map_err(said)?.unwrap_or_default();
        Ok(vec![before, after])
    }

    fn log(level: String, context: String, message: String) {
        let level = match level.as_str() {
            "trace" => Level::Trace,
            "debug" => Level::Debug,
            "warn" => Level::Warn,
            "error" => Level::Error,
            "critical" => Level::Critical,
            _ => Level::Info,
        };
        logging::log(level, &context, &message);
    }

    fn get(bucket: String, key: String) -> Result<Option<String>, String> {
        keyvalue::get(&bucket, &key)
    }

    fn set(bucket: String, key: String, value: String) -> Result<(), String> {
        keyvalue::set(&bucket, &key, &value)
    }

    fn delete(bucket: String, key: String) -> Result<(), String> {
        keyvalue::delete(&bucket, &key)
    }

    fn keys(bucket: String) -> Result<Vec<String>, String> {
        keyvalue::keys(&bucket)
    }

    fn increment(bucket: String, key: String, by: i64) -> Result<i64, String> {
        keyvalue::increment(&bucket, &key, by)
    }

    fn swap(bucket: String, key: String, value: String, meddle: bool) -> Result<(), String> {
        keyvalue::swap(&bucket, &key, &value, meddle)
    }

    fn batch(bucket: String) -> Result<Vec<String>, String> {
        keyvalue::batch(&bucket)
    }

    fn first_draft(bucket: String) -> Result<Vec<String>, String> {
        keyvalue::first_draft(&bucket)
    }

    fn clock_and_chance() -> (u64, u64) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        (now, RandomState::new().hash_one(0))
    }
}
