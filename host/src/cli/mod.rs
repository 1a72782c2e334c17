//! The command line: one file for each group of verbs, one for what can be typed, one for what is printed.

mod args;
mod ask;
mod call;
mod demo;
mod events;
mod inspect;
mod named;
mod new;
mod output;
mod pack;
mod plan;
mod progress;
mod releases;
mod run;
mod signals;
mod state;
mod status;
mod test;
mod text;
mod upgrade;
mod watch;

use crate::control::client::Client;
use crate::control::protocol::{Exit, Failure};
use crate::control::socket::default_path;
use args::{Args, Verb};
use clap::{CommandFactory, FromArgMatches};
use output::{Output, talk_to};
use std::process::ExitCode;

/// Runs the command and decides the exit code, in this one place.
#[must_use]
pub fn main() -> ExitCode {
    let exit = match parse() {
        Ok(args) => run(&args),
        Err(exit) => exit,
    };
    ExitCode::from(u8::from(exit))
}

/// What was typed; else help, the version or what is wrong with it has been printed.
fn parse() -> Result<Args, Exit> {
    let parsed = Args::command().try_get_matches();
    parsed
        .and_then(|matches| Args::from_arg_matches(&matches))
        .map_err(|error| {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            talk_to::parser(&error, exit);
            exit
        })
}

fn run(args: &Args) -> Exit {
    let out = Output::new(&args.global);
    let threads = match args.verb {
        Verb::Run(_) | Verb::Demo(_) => 2,
        _ => 1,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("wasmhot-control")
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(args, &out)),
        Err(error) => Err(Failure::new("internal", Exit::Bug, error.to_string())),
    };
    result.unwrap_or_else(|failure| {
        out.failure(&failure);
        failure.exit
    })
}

async fn dispatch(args: &Args, out: &Output) -> Result<Exit, Failure> {
    let socket = args.global.socket.clone().unwrap_or_else(default_path);
    let client = Client::new(&socket);
    match &args.verb {
        Verb::Run(verb) => run::run(out, &socket, verb).await,
        Verb::Call(verb) => call::call(out, &client, verb).await,
        Verb::Status { watch: false } => status::status(out, &client).await,
        Verb::Status { watch: true } => watch::watch(out, &client).await,
        Verb::Apply(verb) => upgrade::apply(out, &client, verb).await,
        Verb::Plan(verb) => plan::plan(out, &client, verb).await,
        Verb::Check(verb) => plan::check(out, &client, verb).await,
        Verb::Test(verb) => test::test(out, verb).await,
        Verb::Pack(verb) => pack::pack(out, verb),
        Verb::Install(verb) => pack::install(out, &client, verb).await,
        Verb::Undo(verb) => upgrade::undo(out, &client, verb).await,
        Verb::Remove(verb) => upgrade::remove(out, &client, verb).await,
        Verb::Permanent => releases::permanent(out, &client).await,
        Verb::Releases { status } => releases::releases(out, &client, status.as_deref()).await,
        Verb::History { limit } => releases::history(out, &client, *limit).await,
        Verb::Diff { from, to } => releases::diff(out, &client, *from, *to).await,
        Verb::Why { version } => releases::why(out, &client, version).await,
        Verb::Hold { reason } => releases::hold(out, &client, reason).await,
        Verb::ReleaseHold => releases::release_hold(out, &client).await,
        Verb::Forget { what } => releases::forget(out, &client, what).await,
        Verb::Gc {
            keep,
            older_than,
            dry_run,
        } => releases::gc(out, &client, *keep, *older_than, *dry_run).await,
        Verb::Backup { directory } => releases::backup(out, &client, directory).await,
        Verb::Versions { module } => inspect::versions(out, &client, module.as_deref()).await,
        Verb::Events { follow, since } => events::events(out, &client, *since, *follow).await,
        Verb::Inspect { file } => inspect::inspect(out, file),
        Verb::New(verb) => new::new(out, verb),
        Verb::State { verb } => state::state(out, &client, verb).await,
        Verb::Stop => run::stop(out, &client).await,
        Verb::Demo(verb) => demo::demo(out, verb).await,
    }
}
