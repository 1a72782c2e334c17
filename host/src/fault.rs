//! Faults that a test of the whole injects.

/// The places at which a test of the whole kills the host: between any two steps of an upgrade that a crash could fall between.
/// `WASMHOT_KILL_AT=PLACE` in a build with debug assertions; a release build has no such thing.
pub(crate) fn may_be_killed_here(place: &str) {
    #[cfg(debug_assertions)]
    if std::env::var("WASMHOT_KILL_AT").is_ok_and(|wanted| wanted == place) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
    #[cfg(not(debug_assertions))]
    let _ = place;
}
