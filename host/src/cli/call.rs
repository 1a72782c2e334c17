//! `wasmhot call`.

use super::args::Call;
use super::output::Output;
use super::text::{clean, time};
use crate::control::client::Client;
use crate::control::protocol::{CallRequest, Exit, Failure};
use std::time::{Duration, Instant};

pub(super) async fn call(out: &Output, client: &Client, verb: &Call) -> Result<Exit, Failure> {
    let Call {
        module,
        call,
        args,
        deadline,
    } = verb;
    let as_json = args.is_some();
    if as_json && call.contains('(') {
        let message = format!("{call}: with --args the function's name stands alone, without parentheses");
        return Err(Failure::new("usage", Exit::Usage, message));
    }
    let request = CallRequest {
        module: module.clone(),
        call: (!as_json).then(|| call.clone()),
        function: as_json.then(|| call.clone()),
        args: args.as_ref().map(|args| args.0.clone()),
        deadline_ms: deadline.map(millis),
    };
    let began = Instant::now();
    let reply = client.call(&request).await?;
    if out.json {
        out.json(&reply, Exit::Done);
    } else if as_json {
        // Asked in JSON, answered in JSON.
        out.json_line(&reply.value);
    } else if let Some(wave) = &reply.wave {
        out.line(&clean(wave));
    }
    if out.verbose > 0 {
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        out.talk(&format!("answered in {}", time(took)));
    }
    Ok(Exit::Done)
}

fn millis(limit: Duration) -> u64 {
    u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)
}
