//! Whether versions of a module take each other's states, tried with the real code: every way up and down between them.
//!
//! A *way* leads from one version to another. The state is saved by the one and migrated by the other, directly, or through the
//! versions between them where the one does not read the other (R28); then `health` is asked; then it goes all the way back. Where a
//! way is direct and there are versions between its ends, each detour by one of them has to lead to the same state.
//!
//! Everything runs in throw-away instances without directories (R3), as a rehearsal does in a host; states that were exported are read
//! by the code that reads them there.

use super::read::OnDisk;
use crate::call::lane::Live;
use crate::control::protocol::{Exit, Failure};
use crate::host::load::of_version;
use crate::instance::outside::Outside;
use crate::instance::{Change, Instance, InstanceError, ModuleConfig, Template};
use crate::state::States;
use crate::store::{Catalog, KeyValue, Objects, SavedState};
use crate::version::{EngineSettings, Engines, compile_within};
use crate::versions::Versions;
use serde::Serialize;
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmhot_appup::{Instruction, Known, Limits, LimitsSpec, ModuleName, StatePolicy, Version};

/// What became of one way, with one state.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Way {
    /// The module.
    pub(crate) module: ModuleName,
    /// The version that had the state.
    pub(crate) from: Version,
    /// The version that took it.
    pub(crate) to: Version,
    /// The versions through which it went.
    pub(crate) via: Vec<Version>,
    /// Where the state is from: `new`, or a file.
    pub(crate) state: String,
    /// Bytes that were handed over.
    pub(crate) bytes: Option<u64>,
    /// Time that `save` and `migrate` took, in microseconds, on all steps of the way.
    pub(crate) time_us: Option<u64>,
    /// After the way back the state was as before.
    pub(crate) same_after_return: Option<bool>,
    /// What failed, each in a sentence. Empty: it is good.
    pub(crate) failed: Vec<String>,
    /// Why it was left out.
    pub(crate) skipped: Option<String>,
}

/// The versions of one module, ready to be tried, in their order.
pub(crate) struct Trial {
    versions: Vec<Tried>,
    known: Known,
    states: States,
}

struct Tried {
    file: OnDisk,
    template: Arc<Template>,
    limits: Limits,
    /// A state may begin and end here; others only lie between.
    is_end: bool,
}

/// A state, as its version gives it now.
#[derive(Clone)]
struct Seed {
    name: String,
    /// The place of the version that has it.
    at: usize,
    bytes: Vec<u8>,
}

/// What makes instances, for all modules of one run.
pub(crate) struct Bench {
    catalog: Arc<Catalog>,
    objects: Arc<Objects>,
    engines: Arc<Engines>,
    /// Goes with the bench, and what lies in it.
    _folder: tempfile::TempDir,
}

impl Bench {
    /// A bench with nothing on it.
    pub(crate) fn new() -> Result<Self, Failure> {
        let internal = |error: &dyn std::fmt::Display| Failure::new("internal", Exit::Failed, error.to_string());
        let folder = tempfile::tempdir().map_err(|error| internal(&error))?;
        Ok(Self {
            catalog: Arc::new(Catalog::open(folder.path()).map_err(|error| internal(&error))?),
            objects: Arc::new(Objects::open(folder.path()).map_err(|error| internal(&error))?),
            engines: Arc::new(Engines::new(&EngineSettings::default()).map_err(|error| internal(&error))?),
            _folder: folder,
        })
    }

    /// Compiles the versions of one module. `files` come with whether a state may begin and end there.
    pub(crate) async fn trial(&self, files: Vec<(OnDisk, bool)>, release: &LimitsSpec) -> Result<Trial, Failure> {
        let internal = |error: &dyn std::fmt::Display| Failure::new("internal", Exit::Failed, error.to_string());
        let versions = Versions::new(
            Arc::clone(&self.engines),
            Arc::clone(&self.objects),
            Outside::new(Arc::default(), Arc::new(KeyValue::new(None)), None),
        );
        let versions = Arc::new(versions.map_err(|error| internal(&error))?);
        let mut tried = Vec::new();
        let mut known = Known::default();
        for (file, is_end) in files {
            let node = &file.module.node;
            let stem = format!("{}@{}", node.version.name, node.version.version);
            let compiled = compile_within(
                Arc::clone(&self.engines),
                &stem,
                Arc::clone(&file.bytes),
                node.version.digest,
                None,
            )
            .await;
            let compiled = compiled.map_err(|error| {
                let failure = of_version(&error);
                Failure {
                    message: format!("{}: {}", file.path.display(), failure.message),
                    ..failure
                }
            })?;
            let version = Arc::new(compiled.renamed(node.version.clone()));
            self.objects.put(&file.bytes).map_err(|error| internal(&error))?;
            versions.keep(&version);
            if let Some(state) = &version.state {
                known.states.insert(version.id.digest, state.clone());
            }
            let mut spec = file.module.spec.clone();
            spec.grants = spec.grants.without_effects();
            let limits = Limits::resolve(node.kind, &spec.limits, release);
            let config = ModuleConfig {
                spec,
                kind: node.kind,
                limits: limits.clone(),
            };
            let template = versions
                .template(version, config)
                .map_err(|error| Failure::new("link-failed", Exit::Refused, error))?;
            tried.push(Tried {
                file,
                template: Arc::new(template),
                limits,
                is_end,
            });
        }
        tried.sort_by(|one, other| one.file.id().version.cmp(&other.file.id().version));
        let guests = tokio::runtime::Handle::current();
        Ok(Trial {
            versions: tried,
            known,
            states: States::new(Arc::clone(&self.catalog), versions, guests),
        })
    }
}

impl Tried {
    async fn start(&self) -> Result<Box<Instance>, InstanceError> {
        self.template.start_within(0, self.limits.start_timeout).await
    }

    async fn read(&self, change: &Change, bytes: &[u8]) -> Result<Box<Instance>, InstanceError> {
        let mut instance = self.start().await?;
        instance.migrate(change, bytes, self.limits.migrate_timeout).await?;
        instance.health(self.limits.health_timeout).await?;
        Ok(instance)
    }

    async fn save(&self, instance: &mut Instance, change: &Change) -> Result<Vec<u8>, InstanceError> {
        Ok(instance.save(change, self.limits.save_timeout).await?.bytes)
    }

    fn restore(&self) -> Change {
        Change::restore(&self.file.id().version)
    }

    fn version(&self) -> Version {
        self.file.id().version.clone()
    }
}

/// A state that has arrived.
struct Arrived {
    bytes_moved: u64,
    time: Duration,
    /// As the version that has it now would save it for itself.
    state: Vec<u8>,
}

impl Trial {
    /// Tries every way between the ends: with a new state of each version, and with these exported ones.
    pub(crate) async fn run(&self, exported: &[(String, SavedState)]) -> Vec<Way> {
        let mut ways = Vec::new();
        let mut seeds = Vec::new();
        for (at, tried) in self.versions.iter().enumerate().filter(|(_, tried)| tried.is_end) {
            match self.fresh(tried).await {
                Ok(bytes) => seeds.push(Seed {
                    name: "new".to_string(),
                    at,
                    bytes,
                }),
                Err(error) => ways.push(self.way(at, at, "new", &[]).with_failure(format!("{error}"))),
            }
        }
        for (name, saved) in exported {
            let (at, is_writer) = self.holder(saved);
            match self.revived(at, saved).await {
                Ok(bytes) => seeds.push(Seed {
                    name: name.clone(),
                    at,
                    bytes,
                }),
                Err(error) => {
                    let mut way = self.way(at, at, name, &[]).with_failure(error.to_string());
                    way.from = saved.tag.version.version.clone();
                    ways.push(way);
                    continue;
                }
            }
            if !is_writer {
                let mut way = self.way(at, at, name, &[]);
                way.from = saved.tag.version.version.clone();
                way.bytes = Some(saved.tag.size);
                ways.push(way);
            }
        }
        for seed in &seeds {
            for (to, _) in self
                .versions
                .iter()
                .enumerate()
                .filter(|(to, tried)| tried.is_end && *to != seed.at)
            {
                ways.push(self.try_way(seed, to).await);
            }
        }
        ways
    }

    /// The version that takes an exported state: its writer, else other bytes of the same version, else the newest.
    fn holder(&self, saved: &SavedState) -> (usize, bool) {
        let wrote = &saved.tag.version;
        let place = |is: &dyn Fn(&Tried) -> bool| self.versions.iter().position(is);
        let same = place(&|tried| tried.file.id().digest == wrote.digest);
        match same.or_else(|| place(&|tried| tried.file.id().version == wrote.version)) {
            Some(at) => (at, true),
            None => (self.versions.len() - 1, false),
        }
    }

    async fn fresh(&self, tried: &Tried) -> Result<Vec<u8>, InstanceError> {
        let mut instance = tried.start().await?;
        instance.health(tried.limits.health_timeout).await?;
        tried.save(&mut instance, &tried.restore()).await
    }

    async fn revived(&self, at: usize, saved: &SavedState) -> Result<Vec<u8>, InstanceError> {
        let tried = &self.versions[at];
        let live = Live {
            template: Arc::clone(&tried.template),
            revision: 0,
            extra: Json::Null,
            via: Vec::new(),
            limits: tried.limits.clone(),
        };
        let mut instance = self.states.revive(&live, saved, &tried.limits).await?;
        tried.save(&mut instance, &tried.restore()).await
    }

    fn way(&self, from: usize, to: usize, state: &str, via: &[usize]) -> Way {
        Way {
            module: self.versions[from].file.id().name.clone(),
            from: self.versions[from].version(),
            to: self.versions[to].version(),
            via: via.iter().map(|at| self.versions[*at].version()).collect(),
            state: state.to_string(),
            bytes: None,
            time_us: None,
            same_after_return: None,
            failed: Vec::new(),
            skipped: None,
        }
    }

    async fn try_way(&self, seed: &Seed, to: usize) -> Way {
        let between = self.between(seed.at, to);
        let via = match self.step(seed.at, to) {
            Step::Direct(_) => Vec::new(),
            Step::Empty => {
                let mut way = self.way(seed.at, to, &seed.name, &[]);
                way.skipped = Some("its appup lets it start without the state".to_string());
                return way;
            }
            Step::None(why) if between.is_empty() => {
                return self.way(seed.at, to, &seed.name, &[]).with_failure(why);
            }
            Step::None(_) => between.clone(),
        };
        let mut way = self.way(seed.at, to, &seed.name, &via);
        let arrived = match self.go(seed.at, &via, to, &seed.bytes).await {
            Ok(arrived) => arrived,
            Err(why) => return way.with_failure(why),
        };
        way.bytes = Some(arrived.bytes_moved);
        way.time_us = Some(u64::try_from(arrived.time.as_micros()).unwrap_or(u64::MAX));
        let back: Vec<usize> = match self.step(to, seed.at) {
            Step::Direct(_) | Step::Empty => Vec::new(),
            Step::None(_) => between.iter().rev().copied().collect(),
        };
        match self.step(to, seed.at) {
            Step::Empty => {}
            _ => match self.go(to, &back, seed.at, &arrived.state).await {
                Ok(returned) => way.same_after_return = Some(self.is_same(seed.at, &returned.state, &seed.bytes)),
                Err(why) => way.failed.push(format!("on the way back: {why}")),
            },
        }
        if via.is_empty() {
            for middle in between {
                way.failed.extend(self.detour(seed, middle, to, &arrived.state).await);
            }
        }
        way
    }

    /// Path independence: by way of a version between them the same state arrives.
    async fn detour(&self, seed: &Seed, middle: usize, to: usize, direct: &[u8]) -> Option<String> {
        let is_open = |from, to| matches!(self.step(from, to), Step::Direct(_));
        if !is_open(seed.at, middle) || !is_open(middle, to) {
            return None;
        }
        let by = self.versions[middle].version();
        match self.go(seed.at, &[middle], to, &seed.bytes).await {
            Err(why) => Some(format!("by way of {by}: {why}")),
            Ok(arrived) if self.is_same(to, &arrived.state, direct) => None,
            Ok(_) => Some(format!("by way of {by} another state arrives than directly")),
        }
    }

    /// From one version through others to another.
    async fn go(&self, from: usize, via: &[usize], to: usize, bytes: &[u8]) -> Result<Arrived, String> {
        let mut at = from;
        let mut state = bytes.to_vec();
        let mut time = Duration::ZERO;
        let mut bytes_moved = 0;
        for next in via.iter().copied().chain([to]) {
            let extra = match self.step(at, next) {
                Step::Direct(extra) => extra,
                Step::Empty => Json::Null,
                Step::None(why) => return Err(why),
            };
            let (old, new) = (&self.versions[at], &self.versions[next]);
            let change = Change::between(&old.version(), &new.version(), &extra);
            let told = |error: InstanceError| {
                let (from, to) = (old.version(), new.version());
                format!("{from} -> {to}: {error}")
            };
            let mut instance = old.read(&old.restore(), &state).await.map_err(told)?;
            let began = Instant::now();
            let handed_over = old.save(&mut instance, &change).await.map_err(told)?;
            let saved_in = began.elapsed();
            drop(instance);
            let mut instance = new.read(&change, &handed_over).await.map_err(told)?;
            time += saved_in + instance.migrated_in;
            bytes_moved = handed_over.len() as u64;
            state = new.save(&mut instance, &new.restore()).await.map_err(told)?;
            at = next;
        }
        Ok(Arrived {
            bytes_moved,
            time,
            state,
        })
    }

    /// The versions between two, in the order of the way.
    fn between(&self, from: usize, to: usize) -> Vec<usize> {
        let (low, high) = (&self.versions[from.min(to)], &self.versions[from.max(to)]);
        let is_between = |at: &usize| {
            let version = self.versions[*at].version();
            version > low.version() && version < high.version()
        };
        let between = (from.min(to) + 1..from.max(to)).filter(is_between);
        if from < to {
            between.collect()
        } else {
            between.rev().collect()
        }
    }

    /// What a plan would do between two versions: the appup of the newer one says it, and the descriptions of their states (R4).
    fn step(&self, from: usize, to: usize) -> Step {
        let (old, new) = (self.versions[from].file.id(), self.versions[to].file.id());
        let newer = &self.versions[from.max(to)].file.module;
        let mut extra = Json::Null;
        if let Some(appup) = &newer.appup {
            let entry = match from < to {
                true => appup.up_from(&old.name, &old.version),
                false => appup.down_to(&new.name, &new.version),
            };
            let Some(entry) = entry else {
                let newer = &newer.node.version.version;
                return Step::None(format!(
                    "the appup of {newer} has no entry for {} -> {}",
                    old.version, new.version
                ));
            };
            match &entry.instruction {
                Some(Instruction::Update { extra: said, state, .. }) => {
                    if matches!(state, Some(StatePolicy::Empty | StatePolicy::Discard)) {
                        return Step::Empty;
                    }
                    extra = said.clone();
                }
                Some(Instruction::RestartModule { .. } | Instruction::LoadModule { .. }) => return Step::Empty,
                _ => {}
            }
        }
        if self.known.reads(new, old) {
            return Step::Direct(extra);
        }
        let reads = self.known.states.get(&new.digest);
        Step::None(format!(
            "{} does not read the state of {}: it reads {}",
            new.version,
            old.version,
            reads
                .map(wasmhot_appup::StateDescription::shown_reads)
                .unwrap_or_default()
        ))
    }

    /// The same bytes, or the same values where the media type can be read here.
    fn is_same(&self, at: usize, one: &[u8], other: &[u8]) -> bool {
        if one == other {
            return true;
        }
        let digest = &self.versions[at].file.id().digest;
        let media_type = self.known.states.get(digest).map(|state| state.media_type.as_str());
        let value = |bytes: &[u8]| -> Option<Json> {
            match media_type? {
                "application/cbor" => minicbor_serde::from_slice(bytes).ok(),
                "application/json" => serde_json::from_slice(bytes).ok(),
                _ => None,
            }
        };
        value(one).zip(value(other)).is_some_and(|(one, other)| one == other)
    }
}

/// Whether a state goes from one version to another in one step.
enum Step {
    /// Yes, with this `extra`.
    Direct(Json),
    /// It is not handed over, as its appup says.
    Empty,
    /// No, and why.
    None(String),
}

impl Way {
    fn with_failure(mut self, why: String) -> Self {
        self.failed.push(why);
        self
    }
}
