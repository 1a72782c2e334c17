//! Requests: what can be asked of a host, read from HTTP (pure) and run on it.

use super::answer::Answer;
use super::protocol::{
    ApplyRequest, BackupRequest, CallRequest, Exit, Failure, ForgetReleaseRequest, ForgetRequest, GcRequest,
    HoldRequest, InstallRequest, PROTOCOL, RemoveRequest, UndoRequest,
};
use super::target::Target;
use crate::event::Events;
use crate::host::Host;
use hyper::Method;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Handle;

/// The largest JSON body: 1 MiB.
const JSON_MAX: u64 = 1 << 20;
/// The largest state file: 1 GiB of state (the default of `state_max`) and its header line.
const STATE_FILE_MAX: u64 = (1 << 30) + JSON_MAX;

/// What there is, for those who ask for something else.
const PATHS: &str = "GET /v1/status, POST /v1/call, POST /v1/apply, POST /v1/undo, POST /v1/remove, GET /v1/versions?module=M, \
     GET /v1/events?since=N&follow=true, GET /v1/state/M?key=K, GET /v1/state/M/export?key=K, POST /v1/state/M/import?key=K, \
     POST /v1/state/M/reset?key=K, POST /v1/state/M/restore?key=K, POST /v1/permanent, GET /v1/release, GET /v1/releases?status=S, \
     GET /v1/history?limit=N, GET /v1/diff?from=N&to=N, GET /v1/why?version=V, POST /v1/hold, POST /v1/release-hold, \
     POST /v1/forget, POST /v1/install, POST /v1/forget-release, POST /v1/gc, POST /v1/backup, POST /v1/stop";

/// Something asked of the host.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operation {
    Status,
    Call(CallRequest),
    Apply(ApplyRequest),
    Undo(UndoRequest),
    Remove(RemoveRequest),
    Versions {
        module: Option<String>,
    },
    Events {
        since: u64,
        follow: bool,
    },
    State {
        module: String,
        key: Option<String>,
        verb: StateVerb,
    },
    Permanent,
    Release,
    Releases {
        status: Option<String>,
    },
    History {
        limit: Option<usize>,
    },
    Diff {
        from: u64,
        to: u64,
    },
    Why {
        version: String,
    },
    Hold(HoldRequest),
    ReleaseHold,
    Forget(ForgetRequest),
    Install(InstallRequest),
    ForgetRelease(ForgetReleaseRequest),
    Gc(GcRequest),
    Backup(BackupRequest),
    Stop,
}

/// What is to be done with a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StateVerb {
    Show,
    Export,
    Import(Vec<u8>),
    Reset,
    Restore,
}

/// Whoever carries operations out: the host, and a double of it in tests.
pub(super) trait Backend: Clone + Send + Sync + 'static {
    /// Where guest code runs.
    fn guests(&self) -> Handle;
    /// Its events.
    fn events(&self) -> &Arc<Events>;
    /// Everything but [`Operation::Events`].
    fn run(&self, operation: Operation) -> impl Future<Output = Result<Answer, Failure>> + Send;
}

impl Backend for Host {
    fn guests(&self) -> Handle {
        Host::guests(self)
    }

    fn events(&self) -> &Arc<Events> {
        Host::events(self)
    }

    async fn run(&self, operation: Operation) -> Result<Answer, Failure> {
        match operation {
            Operation::Status => Answer::json(&self.status()),
            Operation::Call(request) => Answer::json(&self.call_text(request).await?),
            Operation::Apply(request) => Answer::json(&self.apply(request).await?),
            Operation::Undo(request) => Answer::json(&self.undo(request).await?),
            Operation::Remove(request) => Answer::json(&self.remove(request).await?),
            Operation::Versions { module } => Answer::json(&self.versions(module.as_deref()).await?),
            Operation::Events { .. } => Err(Failure::new("internal", Exit::Bug, "events are streamed by the server")),
            Operation::State { module, key, verb } => {
                let key = key.as_deref();
                match verb {
                    StateVerb::Show => Answer::json(&self.state_show(&module, key).await?),
                    StateVerb::Export => self.state_export(&module, key).await.map(Answer::File),
                    StateVerb::Import(file) => Answer::json(&self.state_import(&module, key, file).await?),
                    StateVerb::Reset => Answer::json(&self.state_reset(&module, key).await?),
                    StateVerb::Restore => Answer::json(&self.state_restore(&module, key).await?),
                }
            }
            Operation::Permanent => Answer::json(&self.permanent().await?),
            Operation::Release => Answer::json(&self.release().await?),
            Operation::Releases { status } => Answer::json(&self.releases(status.as_deref()).await?),
            Operation::History { limit } => Answer::json(&self.history(limit).await?),
            Operation::Diff { from, to } => Answer::json(&self.diff(from, to).await?),
            Operation::Why { version } => Answer::json(&self.why(&version).await?),
            Operation::Hold(request) => Answer::json(&self.hold(request).await?),
            Operation::ReleaseHold => Answer::json(&self.release_hold().await?),
            Operation::Forget(request) => Answer::json(&self.forget(request).await?),
            Operation::Install(request) => Answer::json(&self.install(request).await?),
            Operation::ForgetRelease(request) => Answer::json(&self.forget_release(request).await?),
            Operation::Gc(request) => Answer::json(&self.gc(request).await?),
            Operation::Backup(request) => Answer::json(&self.backup(request).await?),
            Operation::Stop => Answer::json(&self.stop().await),
        }
    }
}

/// How many bytes the body of a request to this target may have.
pub(super) fn body_max(target: &Target) -> u64 {
    match target.path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [PROTOCOL, "state", _, "import"] => STATE_FILE_MAX,
        _ => JSON_MAX,
    }
}

impl Operation {
    /// Reads a request.
    pub(super) fn parse(method: &Method, target: Target, body: Vec<u8>) -> Result<Self, Failure> {
        let Target { path, mut query } = target;
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let Some((&PROTOCOL, path)) = path.split_first() else {
            return Err(no_such_path());
        };
        let wanted = match *path {
            ["status" | "versions" | "events" | "release" | "releases" | "history" | "diff" | "why"]
            | ["state", _]
            | ["state", _, "export"] => Method::GET,
            ["call" | "apply" | "undo" | "remove" | "stop"] => Method::POST,
            ["permanent" | "hold" | "release-hold" | "forget" | "install" | "forget-release" | "gc" | "backup"] => {
                Method::POST
            }
            ["state", _, "import" | "reset" | "restore"] => Method::POST,
            _ => return Err(no_such_path()),
        };
        if *method != wanted {
            let message = format!("this path takes {wanted}, not {method}; there are: {PATHS}");
            return Err(Failure::new("wrong-method", Exit::Usage, message));
        }
        let takes_body = matches!(
            *path,
            [
                "call"
                    | "apply"
                    | "undo"
                    | "remove"
                    | "hold"
                    | "forget"
                    | "install"
                    | "forget-release"
                    | "gc"
                    | "backup"
            ] | ["state", _, "import"]
        );
        if !takes_body && !body.is_empty() {
            return Err(bad_request("this request takes no body"));
        }
        let operation = match *path {
            ["status"] => Operation::Status,
            ["call"] => Operation::Call(json(&body)?),
            ["apply"] => {
                let request: ApplyRequest = json(&body)?;
                absolute(&request.path)?;
                Operation::Apply(request)
            }
            ["undo"] => Operation::Undo(json(&body)?),
            ["remove"] => Operation::Remove(json(&body)?),
            ["permanent"] => Operation::Permanent,
            ["release"] => Operation::Release,
            ["releases"] => Operation::Releases {
                status: query.remove("status"),
            },
            ["history"] => Operation::History {
                limit: parameter(query.remove("limit"), "limit", "a whole number")?,
            },
            ["diff"] => Operation::Diff {
                from: needed(query.remove("from"), "from")?,
                to: needed(query.remove("to"), "to")?,
            },
            ["why"] => Operation::Why {
                version: needed(query.remove("version"), "version")?,
            },
            ["hold"] => Operation::Hold(json(&body)?),
            ["release-hold"] => Operation::ReleaseHold,
            ["forget"] => Operation::Forget(json(&body)?),
            ["install"] => {
                let request: InstallRequest = json(&body)?;
                absolute(&request.path)?;
                Operation::Install(request)
            }
            ["forget-release"] => Operation::ForgetRelease(json(&body)?),
            ["gc"] => Operation::Gc(json(&body)?),
            ["backup"] => {
                let request: BackupRequest = json(&body)?;
                absolute(&request.path)?;
                Operation::Backup(request)
            }
            ["versions"] => Operation::Versions {
                module: query.remove("module"),
            },
            ["events"] => Operation::Events {
                since: parameter(query.remove("since"), "since", "a whole number")?.unwrap_or(0),
                follow: parameter(query.remove("follow"), "follow", "true or false")?.unwrap_or(false),
            },
            ["state", module, ref verb @ ..] => {
                let verb = match *verb {
                    ["export"] => StateVerb::Export,
                    ["import"] => StateVerb::Import(body),
                    ["reset"] => StateVerb::Reset,
                    ["restore"] => StateVerb::Restore,
                    [] => StateVerb::Show,
                    _ => return Err(no_such_path()),
                };
                Operation::State {
                    module: module.to_owned(),
                    key: query.remove("key"),
                    verb,
                }
            }
            ["stop"] => Operation::Stop,
            _ => return Err(no_such_path()),
        };
        match query.keys().next() {
            Some(unknown) => Err(bad_request(format!(
                "unknown parameter {unknown:?}; there are: {PATHS}"
            ))),
            None => Ok(operation),
        }
    }

    /// True if it ends when its client goes (R10). Everything else, once asked for, is done: half an upgrade helps nobody.
    pub(super) fn ends_with_client(&self) -> bool {
        matches!(self, Operation::Call(_))
    }
}

/// A request that cannot be understood.
pub(super) fn bad_request(message: impl Into<String>) -> Failure {
    Failure::new("bad-request", Exit::Usage, message)
}

fn no_such_path() -> Failure {
    Failure::new(
        "no-such-path",
        Exit::Usage,
        format!("there is no such path; there are: {PATHS}"),
    )
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    if body.is_empty() {
        return Err(bad_request("this request needs a body of JSON"));
    }
    serde_json::from_slice(body).map_err(|error| bad_request(format!("the body cannot be read: {error}")))
}

/// The host has another working directory than its clients.
fn absolute(path: &Path) -> Result<(), Failure> {
    match path.is_absolute() {
        true => Ok(()),
        false => Err(bad_request(format!("{}: the path has to be absolute", path.display()))),
    }
}

fn parameter<T: std::str::FromStr>(text: Option<String>, name: &str, what: &str) -> Result<Option<T>, Failure> {
    let parsed = text.map(|text| {
        text.parse()
            .map_err(|_| bad_request(format!("{name}={text}: this is not {what}")))
    });
    parsed.transpose()
}

fn needed<T: std::str::FromStr>(text: Option<String>, name: &str) -> Result<T, Failure> {
    parameter(text, name, "what is asked for here")?
        .ok_or_else(|| bad_request(format!("this request needs the parameter {name}; there are: {PATHS}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: &Method, path: &str, query: &str, body: &str) -> Result<Operation, Failure> {
        let target = Target::parse(path, Some(query)).expect("is a target");
        Operation::parse(method, target, body.as_bytes().to_vec())
    }

    #[test]
    fn requests_are_read() {
        assert_eq!(parse(&Method::GET, "/v1/status", "", ""), Ok(Operation::Status));
        let call = parse(&Method::POST, "/v1/call", "", r#"{"module":"a","call":"f()"}"#);
        assert!(matches!(call, Ok(Operation::Call(request)) if request.module == "a"));
        let events = Operation::Events {
            since: u64::MAX,
            follow: true,
        };
        assert_eq!(
            parse(
                &Method::GET,
                "/v1/events",
                &format!("since={}&follow=true", u64::MAX),
                ""
            ),
            Ok(events)
        );
        let state = |key: Option<&str>, verb| Operation::State {
            module: "a".into(),
            key: key.map(Into::into),
            verb,
        };
        assert_eq!(
            parse(&Method::GET, "/v1/state/a", "key=k%201", ""),
            Ok(state(Some("k 1"), StateVerb::Show))
        );
        assert_eq!(
            parse(&Method::POST, "/v1/state/a/reset", "", ""),
            Ok(state(None, StateVerb::Reset))
        );
        let import = StateVerb::Import(b"xy".to_vec());
        assert_eq!(
            parse(&Method::POST, "/v1/state/a/import", "", "xy"),
            Ok(state(None, import))
        );
    }

    #[test]
    fn every_path_is_documented() {
        let documented = include_str!("protocol.md");
        for path in PATHS.split(", ") {
            assert!(documented.contains(&format!("| `{path}` |")), "{path}");
        }
        assert_eq!(
            documented.matches("| `GET /").count() + documented.matches("| `POST /").count(),
            PATHS.split(", ").count()
        );
    }

    #[test]
    fn only_one_path_stops_the_host() {
        let stops = PATHS.split(", ").filter(|path| {
            let (method, target) = path.split_once(' ').expect("method and path");
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let query = query.replace("=N", "=1").replace("=M", "=a").replace("=K", "=k");
            let query = query.replace("=V", "=a@1.0.0").replace("=S", "=old");
            let method = method.parse().expect("is a method");
            let parsed = [
                "",
                r#"{"path":"/a","module":"a","version":"a@1.0.0","release":"a","name":"a"}"#,
            ]
            .map(|body| parse(&method, &path.replace("/M", "/a"), &query, body));
            assert!(
                parsed
                    .iter()
                    .all(|parsed| !matches!(parsed, Err(failure) if failure.code == "no-such-path")),
                "{target}: {parsed:?}"
            );
            parsed.contains(&Ok(Operation::Stop))
        });
        assert_eq!(stops.collect::<Vec<_>>(), ["POST /v1/stop"]);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let table = [
            (Method::GET, "/", "", "", "no-such-path"),
            (Method::GET, "/v2/status", "", "", "no-such-path"),
            (Method::GET, "/v1/state", "", "", "no-such-path"),
            (Method::POST, "/v1/status", "", "", "wrong-method"),
            (Method::DELETE, "/v1/state/a", "", "", "wrong-method"),
            (Method::GET, "/v1/status", "", "x", "bad-request"),
            (Method::GET, "/v1/status", "x=1", "", "bad-request"),
            (Method::GET, "/v1/events", "since=-1", "", "bad-request"),
            (Method::GET, "/v1/events", "follow=yes", "", "bad-request"),
            (Method::POST, "/v1/undo", "", "", "bad-request"),
            (Method::POST, "/v1/undo", "", r#"{"lossy":true}"#, "bad-request"),
            (Method::POST, "/v1/apply", "", r#"{"path":"here.wasm"}"#, "bad-request"),
        ];
        for (method, path, query, body, code) in table {
            let failure = parse(&method, path, query, body).expect_err(path);
            assert_eq!(
                (failure.code.as_str(), failure.exit),
                (code, Exit::Usage),
                "{path}?{query} {body}"
            );
        }
        let failure = parse(&Method::GET, "/v1/x", "", "").expect_err("there is none");
        assert!(failure.message.contains("POST /v1/state/M/import"), "{failure}");
    }
}
