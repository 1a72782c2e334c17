//! Settings as a table: what defines them, reads them, merges them and describes them in a schema names each once.

/// Key, reader and description of a setting: what a schema says of it.
pub(crate) type Row = (&'static str, &'static str, &'static str);

/// Defines settings, each with its type, reader, form in serde and default; and tables that lie in theirs.
macro_rules! settings {
    (
        $(#[doc = $about:literal])* $settings:ident;
        values { $($(#[doc = $doc:literal])* $name:ident: $of:ty, read $read:ident, serde $serde:literal, $default:expr;)* }
        tables { $($(#[doc = $inner_doc:literal])* $inner:ident: $table:ty, $title:literal;)* }
    ) => {
        $(#[doc = $about])*
        ///
        /// The methods give the defaults for what is absent.
        #[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $settings {
            $($(#[doc = $doc])* #[serde(with = $serde, skip_serializing_if = "Option::is_none")] pub $name: Option<$of>,)*
            $($(#[doc = $inner_doc])* pub $inner: $table,)*
        }

        impl $settings {
            /// All of them, but for tables.
            pub(crate) const TABLE: &'static [$crate::settings::table::Row] =
                &[$((stringify!($name), stringify!($read), concat!($($doc),*)),)*];

            $($(#[doc = $doc])*
            #[must_use]
            pub fn $name(&self) -> $of {
                self.$name.unwrap_or($default)
            })*

            /// What is stated here, and `fallback` for the rest.
            #[must_use]
            pub fn or(self, fallback: Self) -> Self {
                Self {
                    $($name: self.$name.or(fallback.$name),)*
                    $($inner: self.$inner.or(fallback.$inner),)*
                }
            }

            /// Reads the table; faults are noted in its source.
            pub(crate) fn read(mut table: $crate::read::Table<'_>) -> Self {
                let settings = Self {
                    $($name: table.$read(stringify!($name)),)*
                    $($inner: table.table(stringify!($inner), $title).map(<$table>::read).unwrap_or_default(),)*
                };
                table.finish();
                settings
            }
        }
    };
}

pub(super) use settings;
