//! What a module may use of the host (R8): nothing, unless stated. And the values of its configuration, some of which are secret.

use super::address::{HttpGrant, SocketGrant};
use crate::capability::Capability;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A directory of the host that a module may use.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirGrant {
    /// Path on the host.
    pub host: String,
    /// Path that the module sees.
    pub guest: String,
    /// Whether it may write there.
    #[serde(default)]
    pub write: bool,
}

/// What a module may use of the host (R8). Nothing, unless stated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grants {
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Directories.
    pub dirs: Vec<DirGrant>,
    /// Arguments, after the module's name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Where sockets may lead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sockets: Vec<SocketGrant>,
    /// Where HTTP requests may go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpGrant>,
    /// Buckets of the key-value store.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub keyvalue: BTreeSet<String>,
    /// Families that it knowingly is not granted, although it imports them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub denied: BTreeSet<Capability>,
}

impl Grants {
    /// The families that these grants open.
    #[must_use]
    pub fn capabilities(&self) -> BTreeSet<Capability> {
        let granted = [
            (self.dirs.is_empty(), Capability::Filesystem),
            (self.sockets.is_empty(), Capability::Sockets),
            (self.http.is_empty(), Capability::Http),
            (self.keyvalue.is_empty(), Capability::Keyvalue),
        ];
        granted
            .into_iter()
            .filter(|(is_empty, _)| !is_empty)
            .map(|(_, one)| one)
            .collect()
    }

    /// The same without what reaches outside: for instances whose doings must have no effect (R3).
    #[must_use]
    pub fn without_effects(&self) -> Grants {
        Grants {
            env: self.env.clone(),
            args: self.args.clone(),
            ..Grants::default()
        }
    }

    /// These over older ones: what is not said again is not dropped, unless it is denied now.
    #[must_use]
    pub fn over(&self, old: &Grants) -> Grants {
        let mut grants = old.clone();
        for denied in &self.denied {
            grants.deny(*denied);
        }
        grants.env.extend(self.env.clone());
        for dir in &self.dirs {
            grants.dirs.retain(|known| known.guest != dir.guest);
            grants.dirs.push(dir.clone());
        }
        if !self.args.is_empty() {
            grants.args.clone_from(&self.args);
        }
        add_new(&mut grants.sockets, &self.sockets);
        add_new(&mut grants.http, &self.http);
        grants.keyvalue.extend(self.keyvalue.iter().cloned());
        let granted = self.capabilities();
        grants.denied.retain(|denied| !granted.contains(denied));
        grants
    }

    /// Grants nothing of this family any more.
    pub fn deny(&mut self, family: Capability) {
        match family {
            Capability::Filesystem => self.dirs.clear(),
            Capability::Sockets => self.sockets.clear(),
            Capability::Http => self.http.clear(),
            Capability::Keyvalue => self.keyvalue.clear(),
            Capability::Cli
            | Capability::Clocks
            | Capability::Random
            | Capability::Io
            | Capability::Logging
            | Capability::Config => return,
        }
        self.denied.insert(family);
    }
}

fn add_new<T: Clone + PartialEq>(known: &mut Vec<T>, new: &[T]) {
    for one in new {
        if !known.contains(one) {
            known.push(one.clone());
        }
    }
}

/// A value of `wasi:config`. A secret is only ever a reference here: the host reads what it stands for, and writes that nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ConfigValue {
    /// The value itself.
    Text(String),
    /// The value of a variable in the environment of the host.
    Env {
        /// Its name.
        env: String,
    },
    /// What a file holds, without the line feed at its end.
    File {
        /// Its path; in a release or relup, relative to that.
        file: String,
    },
}

impl From<&str> for ConfigValue {
    fn from(text: &str) -> Self {
        ConfigValue::Text(text.to_owned())
    }
}

impl fmt::Display for ConfigValue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigValue::Text(text) => write!(out, "{text:?}"),
            ConfigValue::Env { env } => write!(out, "{{ env = {env:?} }}"),
            ConfigValue::File { file } => write!(out, "{{ file = {file:?} }}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Grants {
        Grants {
            sockets: vec!["tcp://db:5432".parse().expect("a socket")],
            http: vec!["https://api.example.com".parse().expect("a place")],
            keyvalue: BTreeSet::from(["carts".to_owned()]),
            args: vec!["--fast".to_owned()],
            ..Grants::default()
        }
    }

    #[test]
    fn r08_each_entry_opens_its_family() {
        let mut grants = some();
        let all = BTreeSet::from([Capability::Sockets, Capability::Http, Capability::Keyvalue]);
        assert_eq!(grants.capabilities(), all);
        grants.dirs.push(DirGrant {
            host: "data".into(),
            guest: "/data".into(),
            write: false,
        });
        assert!(grants.capabilities().contains(&Capability::Filesystem));
        assert!(grants.without_effects().capabilities().is_empty());
        assert_eq!(grants.without_effects().args, ["--fast"]);
        assert!(Grants::default().capabilities().is_empty());
    }

    #[test]
    fn what_is_not_said_again_is_not_dropped_unless_it_is_denied() {
        let more = Grants {
            sockets: vec![
                "udp://db:53".parse().expect("a socket"),
                "tcp://db:5432".parse().expect("a socket"),
            ],
            denied: BTreeSet::from([Capability::Http]),
            ..Grants::default()
        };
        let merged = more.over(&some());
        assert_eq!(merged.sockets.len(), 2);
        assert!(merged.http.is_empty() && merged.denied.contains(&Capability::Http));
        assert!(merged.keyvalue.contains("carts") && merged.args == ["--fast"]);
        // Granted again, it is denied no longer.
        let again = some().over(&merged);
        assert!(again.denied.is_empty() && again.http.len() == 1);
    }

    #[test]
    fn grants_and_values_survive_json_and_older_ones_are_read() {
        let json = serde_json::to_string(&some()).expect("serialises");
        assert!(json.contains(r#""sockets":["tcp://db:5432"]"#), "{json}");
        assert_eq!(serde_json::from_str::<Grants>(&json).expect("is read"), some());
        let old = serde_json::from_str::<Grants>(r#"{"env":{"A":"b"},"dirs":[]}"#).expect("is read");
        assert_eq!(old.env["A"], "b");
        for value in [
            ConfigValue::Text("USD".to_owned()),
            ConfigValue::Env {
                env: "TOKEN".to_owned(),
            },
            ConfigValue::File {
                file: "secrets/token".to_owned(),
            },
        ] {
            let json = serde_json::to_string(&value).expect("serialises");
            assert_eq!(serde_json::from_str::<ConfigValue>(&json).expect("is read"), value);
        }
    }
}
