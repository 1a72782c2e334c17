//! What can be typed.

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;
use wasmhot_appup::{HostSettings, LimitsSpec, parse_duration};

/// A hot code runtime for WebAssembly: modules change version under load, with their state.
#[derive(Debug, Parser)]
#[command(name = "wasmhot", version)]
pub(super) struct Args {
    /// Control socket of the host [default: in the runtime directory of the user].
    #[arg(long, env = "WASMHOT_SOCKET", global = true)]
    pub(super) socket: Option<PathBuf>,
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Run a directory of modules, or a release.
    Run(Run),
    /// Call a function: `wasmhot call counter 'increment(5)'`.
    Call {
        /// The module.
        module: String,
        /// The call, in WAVE.
        call: String,
        /// How long to wait for the answer, such as 2s [default: the module's call_deadline].
        #[arg(long, value_parser = duration)]
        deadline: Option<Duration>,
    },
    /// Show what runs.
    Status,
    /// Apply a relup.toml or a module file: one upgrade, one switch.
    Apply {
        /// The file.
        path: PathBuf,
        /// Check and rehearse only.
        #[arg(long)]
        dry_run: bool,
        /// Where the state comes from: live, last-saved, empty, or an exported state's file.
        #[arg(long, default_value = "live")]
        state: String,
        /// Allow an upgrade that loses state.
        #[arg(long)]
        allow_lossy: bool,
        #[command(flatten)]
        limits: Box<Limits>,
    },
    /// Go one revision back, with the live state.
    Undo {
        /// Allow a way back that loses state.
        #[arg(long)]
        allow_lossy: bool,
    },
    /// List the versions that the host knows.
    Versions {
        /// Of this module only.
        module: Option<String>,
    },
    /// Show what happened.
    Events {
        /// Stay, and show what happens.
        #[arg(short, long)]
        follow: bool,
        /// Only events after this number.
        #[arg(long, default_value_t = 0)]
        since: u64,
    },
    /// Describe a module file; needs no host.
    Inspect {
        /// The file.
        file: PathBuf,
    },
    /// Look at, export, import, reset or restore a state.
    State {
        #[command(subcommand)]
        verb: StateVerb,
    },
    /// Take a module out of the release. Its last state is kept.
    Remove {
        /// The module.
        module: String,
        /// Its saved state goes too.
        #[arg(long)]
        purge: bool,
    },
    /// Stop the host: drain, save, exit.
    Stop,
}

#[derive(Debug, Subcommand)]
pub(super) enum StateVerb {
    /// Show the state.
    Show(Whose),
    /// Write the state to a file.
    Export {
        #[command(flatten)]
        whose: Whose,
        /// The file.
        #[arg(short, long)]
        output: PathBuf,
    },
    /// An exported state becomes the live one.
    Import {
        #[command(flatten)]
        whose: Whose,
        /// The file.
        file: PathBuf,
    },
    /// Start empty: the state is lost.
    Reset(Whose),
    /// Go back to the newest saved state.
    Restore(Whose),
}

#[derive(Debug, clap::Args)]
pub(super) struct Whose {
    /// The module.
    pub(super) module: String,
    /// The key, in a keyed module.
    #[arg(long)]
    pub(super) key: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// A directory of `.wasm` files, which is watched for drops, or a `release.toml`.
    pub(super) source: PathBuf,
    /// Where state is kept over restarts [default: the user's state directory, by release].
    #[arg(long)]
    pub(super) state: Option<PathBuf>,
    /// How long a dropped file must be unchanged before it counts [default: 200ms].
    #[arg(long, value_parser = duration)]
    pub(super) settle: Option<Duration>,
    #[command(flatten)]
    pub(super) limits: Limits,
}

/// Time limits; durations need a unit, such as 200ms, 5s or 1m.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Limits {
    /// For compiling a module [default: by its size].
    #[arg(long, value_parser = duration)]
    compile_timeout: Option<Duration>,
    /// For the start of a new instance [default: 5s].
    #[arg(long, value_parser = duration)]
    start_timeout: Option<Duration>,
    /// For a health check [default: 1s].
    #[arg(long, value_parser = duration)]
    health_timeout: Option<Duration>,
    /// For started calls to end behind the gate [default: 5s].
    #[arg(long, value_parser = duration)]
    quiesce_timeout: Option<Duration>,
    /// For `save` in an upgrade [default: 5s].
    #[arg(long, value_parser = duration)]
    save_timeout: Option<Duration>,
    /// For `migrate` [default: 5s].
    #[arg(long, value_parser = duration)]
    migrate_timeout: Option<Duration>,
    /// For outside calls on old stateless instances after a switch [default: 30s].
    #[arg(long, value_parser = duration)]
    drain_timeout: Option<Duration>,
    /// After which a call on a stateful instance is interrupted [default: 60s].
    #[arg(long, value_parser = duration)]
    stuck_timeout: Option<Duration>,
    /// For a caller's wait [default: 30s].
    #[arg(long, value_parser = duration)]
    call_deadline: Option<Duration>,
    /// For a call's wait at a gate, before the upgrade gives way [default: 1s].
    #[arg(long, value_parser = duration)]
    max_pause: Option<Duration>,
    /// How many calls may wait at a gate, before the upgrade gives way [default: 10000].
    #[arg(long)]
    gate_queue_max: Option<u32>,
    /// Between periodic saves [default: 10s].
    #[arg(long, value_parser = duration)]
    save_interval: Option<Duration>,
}

impl Limits {
    pub(super) fn spec(&self) -> LimitsSpec {
        LimitsSpec {
            compile_timeout: self.compile_timeout,
            start_timeout: self.start_timeout,
            health_timeout: self.health_timeout,
            quiesce_timeout: self.quiesce_timeout,
            save_timeout: self.save_timeout,
            migrate_timeout: self.migrate_timeout,
            drain_timeout: self.drain_timeout,
            stuck_timeout: self.stuck_timeout,
            call_deadline: self.call_deadline,
            max_pause: self.max_pause,
            gate_queue_max: self.gate_queue_max,
            save_interval: self.save_interval,
            ..LimitsSpec::default()
        }
    }
}

impl Run {
    pub(super) fn settings(&self) -> HostSettings {
        HostSettings {
            settle: self.settle,
            ..HostSettings::default()
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}
