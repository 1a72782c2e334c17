//! Every limit, made to pass: given in `release.toml`, for the whole host (`wasmhot run --…`) and for one upgrade (`wasmhot apply --…`).

mod after;
mod before;
mod behind;
mod flags;

use crate::support::{World, hostile};
use std::path::PathBuf;
use wasmhot::control::protocol::{ApplyRequest, Exit, Failure, UpgradeReport};
use wasmhot::event::EventKind;
use wasmhot_appup::LimitsSpec;

/// Who says what a limit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Release,
    Run,
    Apply,
}

const ALL: [By; 3] = [By::Release, By::Run, By::Apply];

/// Limits and who says them: name and value as in `release.toml`, separated by `=`.
#[derive(Clone, Debug)]
struct Limits {
    by: By,
    text: &'static [&'static str],
}

impl Limits {
    fn new(by: By, text: &'static [&'static str]) -> Self {
        Self { by, text }
    }

    /// As JSON they are what a program sends.
    fn spec(&self, by: By) -> LimitsSpec {
        if self.by != by {
            return LimitsSpec::default();
        }
        let of = self.text.iter().map(|text| {
            let (name, value) = text.split_once('=').unwrap();
            let value = value
                .parse::<u64>()
                .map_or_else(|_| value.into(), serde_json::Value::from);
            (name.to_string(), value)
        });
        serde_json::from_value(serde_json::Value::Object(of.collect())).unwrap()
    }

    fn toml(&self) -> String {
        let of = self.text.iter().map(|text| {
            let (name, value) = text.split_once('=').unwrap();
            let value = value
                .parse::<u64>()
                .map_or_else(|_| format!("{value:?}"), |number| number.to_string());
            format!("{name} = {value}\n")
        });
        of.collect()
    }

    /// A release with one module, in this file.
    async fn world(&self, module: &str, bytes: &[u8]) -> World {
        let limits = if self.by == By::Release {
            self.toml()
        } else {
            String::new()
        };
        let release = format!(
            "format = 1\n[release]\nname = \"limits\"\nversion = \"1.0.0\"\n[limits]\nsave_interval = \"1h\"\n{limits}\
             [[modules]]\nname = \"{module}\"\npath = \"{module}.wasm\"\n"
        );
        let prepare = |app: &std::path::Path| {
            std::fs::write(app.join(format!("{module}.wasm")), bytes).unwrap();
            std::fs::write(app.join("release.toml"), release).unwrap();
        };
        let run = self.spec(By::Run);
        World::prepared(prepare, |builder| builder.limits(run)).await
    }

    /// A hostile 1.0.0 with this plan, and 5 in it.
    async fn hostile(&self, plan: &str) -> World {
        let world = self.world("hostile", &hostile("1.0.0", plan)).await;
        let _: i64 = world.host.call("hostile", "increment", (5_i64,)).await.unwrap();
        world
    }

    fn request(&self, world: &World, name: &str, bytes: &[u8]) -> ApplyRequest {
        let path: PathBuf = world.outside().join(name);
        std::fs::write(&path, bytes).unwrap();
        ApplyRequest {
            path,
            limits: self.spec(By::Apply),
            ..ApplyRequest::default()
        }
    }

    /// Applies hostile 1.0.1 with this plan.
    async fn apply(&self, world: &World, plan: &str) -> Result<UpgradeReport, Failure> {
        let request = self.request(world, "hostile-1.0.1.wasm", &hostile("1.0.1", plan));
        world.host.apply(request).await
    }
}

/// The upgrade failed in this phase with this code, it is told, and the old version serves with 5 in it.
async fn unchanged(world: &World, failure: &Failure, (code, phase, exit): (&str, &str, Exit)) {
    assert_eq!(
        (failure.code.as_str(), failure.phase.as_deref(), failure.exit),
        (code, Some(phase), exit),
        "{failure:?}"
    );
    let event = world.event_of(0, EventKind::CalledOff).await;
    assert!(event.message.contains(&failure.message), "{event:#?}");
    let details = serde_json::json!({ "code": code, "phase": phase, "exit": u8::from(exit) });
    assert_eq!(event.details, details);
    assert!(world.host.status().last_called_off.unwrap().contains(&failure.message));
    let status = world.host.status();
    assert_eq!((status.revision, status.modules[0].version.as_str()), (1, "1.0.0"));
    let count: i64 = world.host.call("hostile", "get", ()).await.unwrap();
    assert_eq!(count, 5);
}

/// Whether a gate was closed.
fn was_gated(world: &World) -> bool {
    let (events, _) = world.host.events().since(0);
    events.iter().any(|event| event.kind == EventKind::Gated)
}
