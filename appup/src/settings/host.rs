//! Settings of the host as a whole.

use super::HttpSettings;
use super::table::settings;
use super::units;
use std::time::Duration;

settings! {
    /// Settings of the host as a whole.
    HostSettings;

    values {
        /// How long a dropped file has to stay unchanged before it is taken.
        settle: Duration, read duration, serde "units::duration", Duration::from_millis(200);
        /// The largest file that is taken.
        file_max: u64, read size, serde "units::size", 64 << 20;
        /// How long a drop stays pending.
        pending_expiry: Duration, read duration, serde "units::duration", Duration::from_secs(3600);
        /// Whether the directory is watched for drops.
        watch: bool, read flag, serde "units::plain", true;
    }
    tables {
        /// Limits of what is served with `--listen`.
        http: HttpSettings, "`[host.http]`";
    }
}
