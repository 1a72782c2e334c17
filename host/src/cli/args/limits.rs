//! The limits of `run` and `apply`.

use super::duration;
use std::time::Duration;
use wasmhot_appup::LimitsSpec;

/// Limits that can be given to a host and to one upgrade; durations need a unit, such as 200ms, 5s or 1m.
#[derive(Clone, Debug, Default, clap::Args)]
pub(in crate::cli) struct Limits {
    /// For compiling a module [default: by its size].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    compile_timeout: Option<Duration>,
    /// For the start of a new instance [default: 5s].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    start_timeout: Option<Duration>,
    /// For a health check [default: 1s].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    health_timeout: Option<Duration>,
    /// For started calls to end behind the gate [default: 5s].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    quiesce_timeout: Option<Duration>,
    /// For `save` in an upgrade [default: 5s].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    save_timeout: Option<Duration>,
    /// For `migrate` [default: 5s].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    migrate_timeout: Option<Duration>,
    /// For outside calls on old stateless instances after a switch [default: 30s].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    drain_timeout: Option<Duration>,
    /// After which a call on a stateful instance is interrupted [default: 60s].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    stuck_timeout: Option<Duration>,
    /// For a caller's wait [default: 30s].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    call_deadline: Option<Duration>,
    /// For a call's wait at a gate, before the upgrade gives way [default: 1s].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    max_pause: Option<Duration>,
    /// How many calls may wait at a gate, before the upgrade gives way [default: 10000].
    #[arg(long, value_name = "NUMBER")]
    gate_queue_max: Option<u32>,
}

impl Limits {
    pub(in crate::cli) fn spec(&self) -> LimitsSpec {
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
            ..LimitsSpec::default()
        }
    }
}
