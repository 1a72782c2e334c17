//! The limits of a module: one table says name, type, default and how each is read, so that no list of them can lag behind.

use super::units;
use super::{Create, Durability, Instances, Kind, OnTrap, Tasks};
use crate::read::Table;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Defines [`Limits`], [`LimitsSpec`] and everything that has to name each limit.
macro_rules! limits {
    ($($(#[doc = $doc:literal])* $name:ident: $resolved:ty, given $given:ty, read $read:ident, serde $serde:literal, $default:expr;)*) => {
        /// The limits of one module, resolved: release-wide ones and defaults are applied.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(from = "LimitsSpec", into = "LimitsSpec")]
        pub struct Limits {
            $($(#[doc = $doc])* pub $name: $resolved,)*
        }

        /// Limits as a release states them: what is absent is left to the release, then to the default of [`Limits`].
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct LimitsSpec {
            $($(#[doc = $doc])* #[serde(with = $serde, skip_serializing_if = "Option::is_none")] pub $name: Option<$given>,)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl LimitsSpec {
            /// The keys, as they stand in TOML.
            pub const KEYS: &'static [&'static str] = &[$(stringify!($name),)*];

            /// Key, reader and description of each: what a schema says of it.
            pub(crate) const TABLE: &'static [(&'static str, &'static str, &'static str)] =
                &[$((stringify!($name), stringify!($read), concat!($($doc),*)),)*];

            /// Puts what is stated here over what `limits` has.
            pub fn apply_to(&self, limits: &mut Limits) {
                $(if let Some(value) = self.$name { limits.$name = value.into(); })*
            }

            /// What is stated here, and `fallback` for the rest.
            #[must_use]
            pub fn or(self, fallback: LimitsSpec) -> LimitsSpec {
                LimitsSpec { $($name: self.$name.or(fallback.$name),)* }
            }

            /// Reads the keys of a table; faults are noted in its source.
            pub(crate) fn read(table: &mut Table<'_>) -> LimitsSpec {
                LimitsSpec { $($name: table.$read(stringify!($name)),)* }
            }
        }

        impl From<Limits> for LimitsSpec {
            fn from(limits: Limits) -> Self {
                Self { $($name: limits.$name.into(),)* }
            }
        }
    };
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

limits! {
    /// How long a new instance may take to start.
    start_timeout: Duration, given Duration, read duration, serde "units::duration", Duration::from_secs(5);
    /// How long `health.check` may take.
    health_timeout: Duration, given Duration, read duration, serde "units::duration", Duration::from_secs(1);
    /// How long an upgrade waits for started calls to end before it is called off (R23).
    quiesce_timeout: Duration, given Duration, read duration, serde "units::duration", Duration::from_secs(5);
    /// How long `save` may take before the upgrade is called off (R26).
    save_timeout: Duration, given Duration, read duration, serde "units::duration", Duration::from_secs(5);
    /// How long `migrate` may take.
    migrate_timeout: Duration, given Duration, read duration, serde "units::duration", Duration::from_secs(5);
    /// How long a state may be handed over in chunks, while calls go on, before the upgrade is called off.
    transfer_timeout: Duration, given Duration, read duration, serde "units::duration", Duration::from_secs(300);
    /// How long after a switch calls from outside may stay on old instances (R23).
    drain_timeout: Duration, given Duration, read duration, serde "units::duration", Duration::from_secs(30);
    /// After how long a call on a stateful instance is interrupted (R11).
    stuck_timeout: Duration, given Duration, read duration, serde "units::duration", Duration::from_secs(60);
    /// How long compiling may take; absent: by the size of the module.
    compile_timeout: Option<Duration>, given Duration, read duration, serde "units::duration", None;
    /// How long a caller waits for its answer (R11).
    call_deadline: Duration, given Duration, read duration, serde "units::duration", Duration::from_secs(30);
    /// How long calls may wait at a gate before the upgrade gives way (R24).
    max_pause: Duration, given Duration, read duration, serde "units::duration", Duration::from_secs(1);
    /// How often state is saved while calls come (R14).
    save_interval: Duration, given Duration, read duration, serde "units::duration", Duration::from_secs(10);
    /// How old a saved state may be to be restored after a trap; absent: any age (R14).
    restore_max_age: Option<Duration>, given Duration, read duration, serde "units::duration", None;
    /// Memory of one instance, in bytes.
    memory_max: u64, given u64, read size, serde "units::size", 256 * MIB;
    /// Saved state, in bytes.
    state_max: u64, given u64, read size, serde "units::size", GIB;
    /// Wasm stack of one call, in bytes.
    stack_max: u64, given u64, read size, serde "units::size", 512 * KIB;
    /// Instances of a pool, or live instances of a keyed module: for the latter [`Limits::default_of`] has another default.
    instances_max: u32, given u32, read positive, serde "units::plain", 16;
    /// Calls that may wait for an instance.
    queue_max: u32, given u32, read count, serde "units::plain", 1024;
    /// Calls that may wait at a gate (R24).
    gate_queue_max: u32, given u32, read count, serde "units::plain", 10_000;
    /// Keys of a keyed module (R9).
    max_keys: u64, given u64, read count, serde "units::plain", 1_000_000;
    /// Keys that may fail to migrate before the upgrade goes back (R33).
    max_failed_keys: u64, given u64, read count, serde "units::plain", 0;
    /// After how long without a call a key is forgotten; absent: never (R9).
    expire: Option<Duration>, given Duration, read duration, serde "units::duration", None;
    /// What a trap in a stateful instance leads to (R14).
    on_trap: OnTrap, given OnTrap, read word, serde "units::plain", OnTrap::Restore;
    /// How a key comes into being (R9).
    create: Create, given Create, read word, serde "units::plain", Create::Call;
    /// When a call to a stateful module is answered: "none", when it has ended; "call", when what it changed is on the disk.
    durability: Durability, given Durability, read word, serde "units::plain", Durability::None;
    /// What an upgrade does about guest tasks that outlive their calls (WASI 0.3).
    tasks: Tasks, given Tasks, read word, serde "units::plain", Tasks::Wait;
    /// Whether an instance of a pool is kept for other calls ("kept"), or each call has a fresh one ("fresh").
    instances: Instances, given Instances, read word, serde "units::plain", Instances::Kept;
}

/// Live instances of a keyed module, unless it states otherwise.
const KEYED_INSTANCES_MAX: u32 = 4096;

impl Limits {
    /// The defaults for a module of this kind.
    #[must_use]
    pub fn default_of(kind: Kind) -> Self {
        match kind {
            Kind::Pool | Kind::Single => Self::default(),
            Kind::Keyed => Self {
                instances_max: KEYED_INSTANCES_MAX,
                ..Self::default()
            },
        }
    }

    /// The limits of a module of this kind, from what it states, then what its release states, then the defaults.
    #[must_use]
    pub fn resolve(kind: Kind, module: &LimitsSpec, release: &LimitsSpec) -> Self {
        let mut limits = Self::default_of(kind);
        release.apply_to(&mut limits);
        module.apply_to(&mut limits);
        limits
    }
}

impl From<LimitsSpec> for Limits {
    fn from(spec: LimitsSpec) -> Self {
        let mut limits = Limits::default();
        spec.apply_to(&mut limits);
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stated_wins_over_the_release_and_that_over_the_default() {
        let module = LimitsSpec {
            queue_max: Some(7),
            ..LimitsSpec::default()
        };
        let release = LimitsSpec {
            queue_max: Some(8),
            max_keys: Some(9),
            expire: Some(Duration::from_secs(1)),
            ..LimitsSpec::default()
        };
        assert_eq!(Limits::resolve(Kind::Keyed, &module, &release).instances_max, 4096);
        let limits = Limits::resolve(Kind::Pool, &module, &release);
        assert_eq!(limits, Limits::from(module.or(release)));
        assert_eq!(
            (limits.queue_max, limits.max_keys, limits.expire),
            (7, 9, Some(Duration::from_secs(1)))
        );
        assert_eq!(limits.max_pause, Duration::from_secs(1));
    }

    #[test]
    fn limits_survive_json() {
        let limits = Limits {
            memory_max: 1000,
            on_trap: OnTrap::Fail,
            ..Limits::default()
        };
        let json = serde_json::to_string(&limits).expect("serialises");
        assert!(
            json.contains(r#""memory_max":"1000B""#) && json.contains(r#""call_deadline":"30s""#),
            "{json}"
        );
        assert_eq!(serde_json::from_str::<Limits>(&json).expect("is read"), limits);
        assert_eq!(
            serde_json::from_str::<Limits>("{}").expect("is read"),
            Limits::default()
        );
        assert!(serde_json::from_str::<Limits>(r#"{"queue":1}"#).is_err());
    }
}
