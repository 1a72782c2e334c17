//! The command line: one file for `run`, one for the verbs that talk to a running host, one for what they print.

mod args;
mod output;
mod run;
mod verbs;

use crate::control::protocol::{Exit, Failure};
use args::{Args, Verb};
use clap::Parser;
use std::process::ExitCode;

/// Runs the command and decides the exit code, in this one place.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::parse();
    let threads = match args.verb {
        Verb::Run(_) => 2,
        _ => 1,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("wasmhot-control")
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(&args)),
        Err(error) => Err(Failure::new("internal", Exit::Bug, error.to_string())),
    };
    match result {
        Ok(exit) => ExitCode::from(u8::from(exit)),
        Err(failure) => {
            output::failure(&failure, args.json);
            ExitCode::from(u8::from(failure.exit))
        }
    }
}

async fn dispatch(args: &Args) -> Result<Exit, Failure> {
    match &args.verb {
        Verb::Run(run) => run::run(args, run).await,
        verb => verbs::dispatch(args, verb).await,
    }
}
