//! Limits of what is served with `--listen`.

use super::table::settings;
use super::units;
use std::time::Duration;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

settings! {
    /// Limits of what is served with `--listen`.
    HttpSettings;

    values {
        /// The head of a request: method, path and headers. At least 8 KiB are taken.
        header_max: u64, read size, serde "units::size", 64 * KIB;
        /// The body of a request.
        body_max: u64, read size, serde "units::size", 8 * MIB;
        /// What is kept of a response for a client that is slower than the module. The response of a module that keeps state has to fit.
        response_max: u64, read size, serde "units::size", 8 * MIB;
        /// Connections at once.
        connections_max: u32, read positive, serde "units::plain", 900;
        /// How long a connection may be without a request, and the head of a request may take to come.
        idle_timeout: Duration, read duration, serde "units::duration", Duration::from_secs(60);
        /// How long the body of a request may take to come, as a whole.
        body_timeout: Duration, read duration, serde "units::duration", Duration::from_secs(60);
        /// How long a client may take nothing of its response.
        send_timeout: Duration, read duration, serde "units::duration", Duration::from_secs(60);
    }
    tables {}
}
