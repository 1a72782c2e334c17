//! The steps of `run`, for every version: only how `back` is hit differs.

use crate::bindings::{answer, demo::chain::back};
use std::time::Duration;

pub(crate) fn run(steps: &[String], hit: fn() -> u64) -> Result<Vec<String>, String> {
    steps.iter().map(|step| run_one(step, hit)).collect()
}

fn run_one(step: &str, hit: fn() -> u64) -> Result<String, String> {
    let (step, detail) = step.split_once(':').unwrap_or((step, ""));
    let number = || detail.parse::<u64>().map_err(|error| format!("{detail}: {error}"));
    Ok(match step {
        "version" => env!("CARGO_PKG_VERSION").to_owned(),
        "back" => back::version(),
        "hit" => hit().to_string(),
        "count" => back::count().to_string(),
        "via" => back::via().to_string(),
        "answer" => answer().to_string(),
        "pause" => back::pause(number()?).to_string(),
        "must" => back::must(detail).to_string(),
        "may" => back::may(detail)?.to_string(),
        "until" => {
            let wanted = number()?;
            while back::count() < wanted {
                std::thread::sleep(Duration::from_millis(1));
            }
            String::new()
        }
        "sleep" => {
            std::thread::sleep(Duration::from_millis(number()?));
            String::new()
        }
        "trap" => std::process::abort(),
        _ => return Err(format!("no such step: {step}")),
    })
}
