//! `wasi:config`: the values that the release gives a module. A secret is read where the release says, and is nowhere but here and in
//! the guest that asks for it.

use super::super::guest::Guest;
use super::versions;
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmhot_appup::settings::ConfigValue;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Linker, Lower};

/// The largest secret that is read from a file.
const SECRET_MAX: u64 = 64 << 10;

/// The values of a module, read. They have no `Debug`, and no way into JSON: some are secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Values(BTreeMap<String, Result<String, String>>);

/// The values that a module has now: all its instances share them, and see others after a switch that changes only them.
pub(crate) struct SharedValues {
    now: ArcSwap<Values>,
    /// How often they have changed: calls ask for this, and mostly for no more.
    changes: AtomicU64,
}

impl SharedValues {
    pub(crate) fn new(values: Values) -> Arc<Self> {
        Arc::new(Self {
            now: ArcSwap::from_pointee(values),
            changes: AtomicU64::new(0),
        })
    }

    pub(crate) fn get(&self) -> Arc<Values> {
        self.now.load_full()
    }

    pub(crate) fn set(&self, values: Arc<Values>) {
        self.now.store(values);
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// A number that is another one once the values have changed. To be asked before the values are.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }
}

impl Values {
    /// Reads what the values stand for. Blocks on the disk for a moment.
    pub(crate) fn read(config: &BTreeMap<String, ConfigValue>) -> Self {
        let read = |(key, value): (&String, &ConfigValue)| {
            let read = match value {
                ConfigValue::Text(text) => Ok(text.clone()),
                ConfigValue::Env { env } => from_env(env),
                ConfigValue::File { file } => from_file(Path::new(file)),
            };
            (key.clone(), read.map_err(|why| format!("`{key} = {value}`: {why}")))
        };
        Self(config.iter().map(read).collect())
    }

    /// The values that could not be read, each in a sentence.
    pub(crate) fn faults(&self) -> Vec<&str> {
        self.0
            .values()
            .filter_map(|value| value.as_ref().err())
            .map(String::as_str)
            .collect()
    }

    fn get(&self, key: &str) -> Result<Option<String>, ConfigError> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value.clone())),
            Some(Err(why)) => Err(ConfigError::Upstream(why.clone())),
        }
    }

    fn all(&self) -> Result<Vec<(String, String)>, ConfigError> {
        let one = |(key, value): (&String, &Result<String, String>)| match value {
            Ok(value) => Ok((key.clone(), value.clone())),
            Err(why) => Err(ConfigError::Upstream(why.clone())),
        };
        self.0.iter().map(one).collect()
    }
}

/// True if some value is one that the host has to read anew.
pub(crate) fn has_secrets(config: &BTreeMap<String, ConfigValue>) -> bool {
    config.values().any(|value| !matches!(value, ConfigValue::Text(_)))
}

fn from_env(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|error| match error {
        std::env::VarError::NotPresent => {
            "the host has no such variable: set it in the environment in which the host is started".to_owned()
        }
        std::env::VarError::NotUnicode(_) => "the variable does not hold UTF-8".to_owned(),
    })
}

fn from_file(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let shown = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(shown)?;
    if !file.metadata().map_err(shown)?.is_file() {
        return Err(format!("{} is not a file", path.display()));
    }
    file.take(SECRET_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => format!("{} does not hold UTF-8", path.display()),
            _ => shown(error),
        })?;
    if text.len() as u64 > SECRET_MAX {
        return Err(format!("{} has more than {SECRET_MAX} bytes", path.display()));
    }
    // As editors and `echo` leave it.
    let end = text
        .strip_suffix('\n')
        .map(|text| text.strip_suffix('\r').unwrap_or(text).len());
    text.truncate(end.unwrap_or(text.len()));
    Ok(text)
}

/// `variant error` of the interface.
#[derive(Debug, ComponentType, Lower)]
#[component(variant)]
enum ConfigError {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    #[expect(
        dead_code,
        reason = "part of the type; what the host cannot read is an upstream error"
    )]
    Io(String),
}

pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    for name in versions("wasi:config/store").chain(versions("wasi:config/runtime")) {
        let mut interface = linker.instance(&name)?;
        interface.func_wrap("get", |store: StoreContextMut<'_, Guest>, (key,): (String,)| {
            Ok((store.data().values().get(&key),))
        })?;
        interface.func_wrap("get-all", |store: StoreContextMut<'_, Guest>, (): ()| {
            Ok((store.data().values().all(),))
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: ConfigValue) -> Result<Option<String>, String> {
        let config = BTreeMap::from([("key".to_owned(), value)]);
        Values::read(&config).get("key").map_err(|error| match error {
            ConfigError::Upstream(why) | ConfigError::Io(why) => why,
        })
    }

    #[test]
    fn a_secret_is_what_stands_in_the_file_without_the_line_feed() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |content: &[u8]| {
            let path = folder.path().join("secret");
            std::fs::write(&path, content).expect("is written");
            ConfigValue::File {
                file: path.display().to_string(),
            }
        };
        for (content, value) in [
            ("s3cret\n", "s3cret"),
            ("s3cret\r\n", "s3cret"),
            ("a\nb\n\n", "a\nb\n"),
            ("", ""),
        ] {
            assert_eq!(read(file(content.as_bytes())), Ok(Some(value.to_owned())));
        }
        let error = read(file(&[0xff, 0xfe])).expect_err("is no text");
        assert!(error.contains("does not hold UTF-8"), "{error}");
        let error = read(file(&vec![b'a'; 70_000])).expect_err("is too large");
        assert!(error.contains("more than 65536 bytes"), "{error}");
        let folder = ConfigValue::File {
            file: folder.path().display().to_string(),
        };
        assert!(read(folder).expect_err("is a folder").contains("is not a file"));
        let gone = ConfigValue::File {
            file: "/nowhere/at/all".to_owned(),
        };
        let error = read(gone).expect_err("is not there");
        assert!(
            error.starts_with("`key = { file = \"/nowhere/at/all\" }`: /nowhere/at/all:"),
            "{error}"
        );
    }

    #[test]
    fn a_secret_is_the_value_of_a_variable() {
        let path = read(ConfigValue::Env { env: "PATH".to_owned() });
        assert_eq!(path, Ok(std::env::var("PATH").ok()));
        let gone = ConfigValue::Env {
            env: "WASMHOT_TEST_NO_SUCH_VARIABLE".to_owned(),
        };
        let error = read(gone).expect_err("is not there");
        assert!(error.contains("the host has no such variable"), "{error}");
    }
}
