//! Limits of what is served with `--listen`: one table, as that of the limits of modules.

use super::units;
use crate::read::Table;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Defines [`HttpSettings`] and everything that has to name each of them.
macro_rules! settings {
    ($($(#[doc = $doc:literal])* $name:ident: $of:ty, read $read:ident, serde $serde:literal, $default:expr;)*) => {
        /// Limits of what is served with `--listen`. The methods give the defaults for what is absent.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct HttpSettings {
            $($(#[doc = $doc])* #[serde(with = $serde, skip_serializing_if = "Option::is_none")] pub $name: Option<$of>,)*
        }

        impl HttpSettings {
            /// Key, reader and description of each: what a schema says of it.
            pub(crate) const TABLE: &'static [(&'static str, &'static str, &'static str)] =
                &[$((stringify!($name), stringify!($read), concat!($($doc),*)),)*];

            $($(#[doc = $doc])*
            #[must_use]
            pub fn $name(&self) -> $of {
                self.$name.unwrap_or($default)
            })*

            /// What is stated here, and `fallback` for the rest.
            #[must_use]
            pub fn or(self, fallback: HttpSettings) -> HttpSettings {
                HttpSettings { $($name: self.$name.or(fallback.$name),)* }
            }

            /// Reads the table; faults are noted in its source.
            pub(crate) fn read(mut table: Table<'_>) -> HttpSettings {
                let settings = HttpSettings { $($name: table.$read(stringify!($name)),)* };
                table.finish();
                settings
            }
        }
    };
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

settings! {
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
