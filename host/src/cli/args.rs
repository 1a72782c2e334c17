//! What can be typed.

mod limits;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};
pub(super) use limits::Limits;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use wasmhot_appup::{Capability, HostSettings, LimitsSpec, ModuleName, parse_duration};

const AFTER: &str = "\
Examples:
  wasmhot demo                           see it work, in ten seconds
  wasmhot new counter --lang rust        write a module of your own
  wasmhot run app                        run the modules of a directory; drop new versions into it
  wasmhot run app --listen 127.0.0.1:8080  the same, and let them answer HTTP requests
  wasmhot call counter 'increment(5)'    call a function
  wasmhot apply counter-2.0.0.wasm       upgrade a module, with its state
  wasmhot undo                           go back, with the state of now
  wasmhot plan current app -o relup.toml how to get from what runs to these modules
  wasmhot history                        what was attempted, and what became of it
  wasmhot status --watch                 what runs

Exit codes: 0 done, 1 failed before any gate closed, 2 usage, 3 host not running, 4 refused, 5 busy, 6 timed out waiting (it goes on),
7 called off after a gate closed or while a state was sent ahead of it, 8 done but degraded, 70 a fault of wasmhot, 130/143 ended by a signal.";

/// A hot code runtime for WebAssembly: modules change version under load, with their state.
#[derive(Debug, Parser)]
#[command(name = "wasmhot", version, after_help = AFTER, max_term_width = 120)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// Flags of every verb.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// Control socket of the host [default: in the runtime directory of the user].
    #[arg(
        long,
        value_name = "PATH",
        env = "WASMHOT_SOCKET",
        hide_env_values = true,
        global = true
    )]
    pub(super) socket: Option<PathBuf>,
    /// Print JSON, for programs; it carries the exit code as `exit`.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Say nothing but results, warnings and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Say more; twice: even more. The log of `run` goes by `WASMHOT_LOG` without -q and -v.
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(super) verbose: u8,
    /// Colours; `NO_COLOR` in the environment turns `auto` off.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Color::Auto, global = true)]
    pub(super) color: Color,
    /// Show no progress, even on a terminal.
    #[arg(long, global = true)]
    pub(super) no_progress: bool,
    /// Do it without asking.
    #[arg(long, global = true)]
    pub(super) yes: bool,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Run a directory of modules, or a release.
    Run(Box<Run>),
    /// Call a function: `wasmhot call counter 'increment(5)'`.
    Call(Call),
    /// Show what runs.
    Status {
        /// Stay, and show every change.
        #[arg(short, long)]
        watch: bool,
    },
    /// Apply a relup.toml or a module file: one upgrade, one switch.
    Apply(Box<Apply>),
    /// Plan the way from one release to another, and back: a relup.toml. Needs no host.
    ///
    /// A module that has an appup goes as that says: `<module>.appup.toml` or `<file's stem>.appup.toml` beside its file, or the
    /// section `wasmhot:appup` in it. Other versions of a module in the same directories may serve as middle ones. What neither an
    /// appup nor a state description allows is refused with exit code 4, and every reason is told.
    Plan(Plan),
    /// Check a relup without applying it; needs no host, unless what runs is meant.
    ///
    /// It refuses what `apply` would refuse (exit code 4), for both ways: files, digests, types, states that cannot be read.
    Check(Check),
    /// Try every way of the states of modules between their versions, up and down; needs no host.
    ///
    /// For each module that keeps state: a state is saved by one version and migrated by the other, healthy there, and goes back; and
    /// by way of the versions between the two the same state arrives. Appups and state descriptions are gone by as in a plan. What
    /// fails is told with exit code 1.
    Test(Test),
    /// Pack a release with all its modules and appups into one file; or put an appup into a module.
    Pack(Pack),
    /// Unpack a packed release into a new directory, whole or not at all.
    Install(Install),
    /// Go one revision back, with the live state.
    Undo(Undo),
    /// What runs is what the host boots: end a probation.
    Permanent,
    /// List the revisions that can be gone back to, and the releases that are installed.
    Releases {
        /// Only those of this status: permanent (runs and boots), current (runs, on probation), boots (in place of that), old, or unpacked
        /// (installed, no revision has it yet).
        #[arg(long, value_parser = ["permanent", "current", "boots", "old", "unpacked"])]
        status: Option<String>,
    },
    /// Show what was attempted: who, when, what, and what became of it.
    History {
        /// Only so many of the newest [default: all].
        #[arg(short = 'n', long, value_name = "NUMBER")]
        limit: Option<usize>,
    },
    /// Show how two revisions differ.
    Diff {
        /// The number of one revision.
        from: u64,
        /// The number of the other.
        to: u64,
    },
    /// Show what keeps a version: calls that have not ended, states, revisions.
    Why {
        /// The version.
        #[arg(value_name = "MODULE@VERSION")]
        version: String,
    },
    /// Let drops and applies wait until `release-hold`.
    Hold {
        /// Why, for those who wait.
        #[arg(default_value = "")]
        reason: String,
    },
    /// Let drops and applies go on.
    ReleaseHold,
    /// Forget a revision: nobody can go back to it. Or that a release is installed: its directory stays.
    Forget {
        /// Its number, or the name of the release.
        #[arg(value_name = "REVISION|NAME@VERSION")]
        what: String,
    },
    /// Forget old revisions, and bytes that nothing needs.
    Gc {
        /// So many of the newest revisions stay.
        #[arg(long, value_name = "NUMBER", default_value_t = 10)]
        keep: u64,
        /// What is younger stays [default: 30 days].
        #[arg(long, value_name = "TIME", value_parser = duration)]
        older_than: Option<Duration>,
        /// Only say what would go.
        #[arg(long)]
        dry_run: bool,
    },
    /// Copy all that the host keeps into a new directory, while it runs: states, revisions, history, versions.
    ///
    /// `wasmhot run --restore DIR` starts with such a copy.
    Backup {
        /// The new directory.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
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
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        since: u64,
    },
    /// Write a new module into a folder of its own: it builds, runs and upgrades at once. Needs no host.
    New(New),
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
    Remove(Remove),
    /// Stop the host: drain, save, exit.
    Stop,
    /// Show the main job: a host under load, an upgrade and its undo with the state kept, a bad version refused.
    Demo(Demo),
}

#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// A directory of `.wasm` files, which is watched for drops, or a `release.toml`.
    #[arg(value_name = "DIR|release.toml")]
    pub(super) source: PathBuf,
    /// Serve HTTP there, such as 127.0.0.1:8080; port 0 is any free one [default: serve none].
    ///
    /// A module that has an HTTP handler answers the requests of its routes, or those below /MODULE/. HTTP/1.1 and h2c.
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Option<SocketAddr>,
    /// Where state is kept over restarts [default: the user's state directory, by release].
    #[arg(long, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
    /// Start with what `wasmhot backup` has copied there; the state directory must have no state yet.
    #[arg(long, value_name = "DIR")]
    pub(super) restore: Option<PathBuf>,
    /// How long a dropped file must be unchanged before it counts [default: 200ms].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) settle: Option<Duration>,
    #[command(
        flatten,
        next_help_heading = "Limits of every module, over those of its release (times need a unit: 200ms, 5s, 1m)"
    )]
    limits: Limits,
    /// Between periodic saves [default: 10s].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    save_interval: Option<Duration>,
}

impl Run {
    pub(super) fn limits(&self) -> LimitsSpec {
        LimitsSpec {
            save_interval: self.save_interval,
            ..self.limits.spec()
        }
    }

    pub(super) fn settings(&self) -> HostSettings {
        HostSettings {
            settle: self.settle,
            ..HostSettings::default()
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct New {
    /// The module's name, and the directory's: a letter, then letters, digits and hyphens; written in lower case.
    pub(super) name: ModuleName,
    /// The language.
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    pub(super) lang: Language,
}

/// The languages of `wasmhot new`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub(super) enum Language {
    /// With the guest SDK.
    Rust,
    /// Clang and wasi-libc.
    C,
    /// By hand: there is no generator.
    Zig,
    /// The standard compiler.
    Go,
    /// QuickJS.
    #[value(alias = "js")]
    JavaScript,
    /// CPython.
    Python,
    /// A TypeScript for Wasm.
    AssemblyScript,
    /// The text format.
    Wat,
}

#[derive(Debug, clap::Args)]
pub(super) struct Call {
    /// The module.
    pub(super) module: String,
    /// The call in WAVE, such as `place("tea", 2)`; with --args the function's name alone.
    pub(super) call: String,
    /// The arguments as a JSON array, such as '["tea", 2]'.
    #[arg(long, value_name = "JSON", value_parser = json_array)]
    pub(super) args: Option<JsonArray>,
    /// How long to wait for the answer, such as 2s [default: the module's call_deadline].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) deadline: Option<Duration>,
}

/// Arguments of a call. (A plain `Vec` would be a flag that may be given several times.)
#[derive(Clone, Debug)]
pub(super) struct JsonArray(pub(super) Vec<serde_json::Value>);

fn json_array(text: &str) -> Result<JsonArray, String> {
    serde_json::from_str(text)
        .map(JsonArray)
        .map_err(|error| format!("not a JSON array: {error}"))
}

#[derive(Debug, clap::Args)]
pub(super) struct Apply {
    /// The file; or a release, by its directory or its name where it is installed: its relup.toml if that leads there, else a plan.
    #[arg(value_name = "relup.toml|FILE.wasm|DIR|NAME@VERSION")]
    pub(super) path: PathBuf,
    /// Check and rehearse only.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Where the state comes from: live, last-saved, empty, or an exported state's file.
    #[arg(long, value_name = "SOURCE", default_value = "live")]
    pub(super) state: String,
    /// Allow an upgrade that loses state; asks, or needs --yes.
    #[arg(long)]
    pub(super) allow_lossy: bool,
    /// The module does without this, from now on, although its file newly imports it: sockets, http or keyvalue.
    #[arg(long, value_name = "CAPABILITY", value_parser = capability)]
    pub(super) deny: Vec<Capability>,
    /// Let the host boot the release before, and take the new one back by itself, for so long [default: it is permanent at once].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) probation: Option<Duration>,
    /// How many more of a hundred calls may fail in probation than before [default: 1%].
    #[arg(long, value_name = "PERCENT", value_parser = percent, requires = "probation")]
    pub(super) max_error_rate: Option<f64>,
    /// Wait no longer than this; the upgrade goes on [default: wait for its end].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) timeout: Option<Duration>,
    /// Name of this attempt: the same again waits for the first's result [default: a new one].
    #[arg(long)]
    pub(super) id: Option<String>,
    #[command(
        flatten,
        next_help_heading = "Limits of this upgrade, over those of the release (times need a unit: 200ms, 5s, 1m)"
    )]
    pub(super) limits: Limits,
}

#[derive(Debug, clap::Args)]
pub(super) struct Plan {
    /// From where: a release.toml, a directory with one or with modules, the name of an installed release, or `current` for what runs.
    #[arg(value_name = "OLD")]
    pub(super) old: PathBuf,
    /// To where, likewise.
    #[arg(value_name = "NEW")]
    pub(super) new: PathBuf,
    /// Write the relup to this file, with paths relative to it [default: print it].
    #[arg(short, long, value_name = "relup.toml")]
    pub(super) output: Option<PathBuf>,
    /// Show what the engine does on both ways, in the words and the order of OTP's instructions.
    #[arg(long)]
    pub(super) explain: bool,
    /// The smallest relups that can be applied one after another: relup-1.toml, relup-2.toml and so on.
    #[arg(long)]
    pub(super) split: bool,
    /// Allow a plan that loses state.
    #[arg(long)]
    pub(super) allow_lossy: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// The relup; or a release that would be applied, by its directory or its name where it is installed.
    #[arg(value_name = "relup.toml|DIR|NAME@VERSION")]
    pub(super) path: PathBuf,
    /// What it would be applied to: a release.toml, a directory, the name of an installed release, or `current` for what runs.
    #[arg(long, value_name = "OLD", default_value = "current")]
    pub(super) from: PathBuf,
    /// Allow what loses state.
    #[arg(long)]
    pub(super) allow_lossy: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Test {
    /// From this release (a release.toml or a directory); alone: all versions in this directory.
    #[arg(value_name = "OLD|DIR")]
    pub(super) old: PathBuf,
    /// To this release.
    #[arg(value_name = "NEW")]
    pub(super) new: Option<PathBuf>,
    /// Try this state too, which `wasmhot state export` wrote; new ones are tried in any case.
    #[arg(long, value_name = "FILE", conflicts_with = "corpus")]
    pub(super) state: Option<PathBuf>,
    /// Try all exported states in this directory too.
    #[arg(long, value_name = "DIR")]
    pub(super) corpus: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Pack {
    /// A release.toml or the directory in which it lies; with --appup a module.
    #[arg(value_name = "DIR|release.toml|MODULE.wasm")]
    pub(super) source: PathBuf,
    /// Put this appup into the module, as its section `wasmhot:appup`. Other bytes are another version.
    #[arg(long, value_name = "FILE", requires = "output")]
    pub(super) appup: Option<PathBuf>,
    /// The new file [default: NAME-VERSION.tar.zst; with --appup it has to be said].
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Install {
    /// What `wasmhot pack` has made.
    #[arg(value_name = "FILE")]
    pub(super) pack: PathBuf,
    /// The new directory [default: NAME-VERSION, here]. A host that runs is told of it: `plan`, `check` and `apply` know it by its name.
    #[arg(long, value_name = "DIR")]
    pub(super) to: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Undo {
    /// Go to this revision, in one switch [default: to the one before].
    #[arg(long, value_name = "REVISION")]
    pub(super) to: Option<u64>,
    /// Where the state comes from: live, last-saved, empty, or an exported state's file.
    #[arg(long, value_name = "SOURCE", default_value = "live")]
    pub(super) state: String,
    /// Allow a way back that loses state; asks, or needs --yes.
    #[arg(long)]
    pub(super) allow_lossy: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// Clients that call at the same time.
    #[arg(long, value_name = "NUMBER", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) clients: u32,
    /// Time between the steps.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub(super) pace: Duration,
}

#[derive(Debug, clap::Args)]
pub(super) struct Remove {
    /// The module.
    pub(super) module: String,
    /// Its saved state goes too.
    #[arg(long)]
    pub(super) purge: bool,
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
        #[arg(short, long, value_name = "FILE")]
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

/// `1%`, `0.5%`, or the bare number.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    match number.parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("not a number of percent from 0% to 100%".to_string()),
    }
}

fn capability(text: &str) -> Result<Capability, String> {
    let known = || Capability::ALL.into_iter().filter(|one| one.is_never_unasked());
    known()
        .find(|one| one.word() == text.strip_prefix("wasi:").unwrap_or(text))
        .ok_or_else(|| {
            let words: Vec<_> = known().map(Capability::word).collect();
            format!("it is one of: {}", words.join(", "))
        })
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn what_can_be_typed_is_consistent() {
        Args::command().debug_assert();
    }
}
