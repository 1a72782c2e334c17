//! A clock that costs a call next to nothing, for what need not be known to the millisecond: when a call came, when a key was used last.

use std::sync::OnceLock;

/// Milliseconds since this was asked first; never less than before. Exact to a tick of the kernel's timer: 10 ms or less.
pub(crate) fn coarse_ms() -> u64 {
    static FIRST: OnceLock<u64> = OnceLock::new();
    let now = monotonic_ms();
    now.saturating_sub(*FIRST.get_or_init(|| now))
}

#[cfg(target_os = "linux")]
fn monotonic_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    u64::try_from(now.tv_sec).unwrap_or_default() * 1000 + u64::try_from(now.tv_nsec).unwrap_or_default() / 1_000_000
}

#[cfg(not(target_os = "linux"))]
fn monotonic_ms() -> u64 {
    static FIRST: OnceLock<std::time::Instant> = OnceLock::new();
    let passed = FIRST.get_or_init(std::time::Instant::now).elapsed();
    u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
}
