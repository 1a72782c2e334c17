//! `wasmhot test`: the states of modules go every way between their versions, without a host; for the module's own CI.

use super::args::Test;
use super::inspect::show_table;
use super::output::{Output, Style};
use super::text::{clean, count, size, time};
use crate::control::protocol::{Exit, Failure};
use crate::offline::{Bench, OnDisk, ReadRelease, Way, modules_of};
use crate::state::read_state_file;
use crate::store::SavedState;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use wasmhot_appup::{LimitsSpec, ModuleName};

/// What came of it, for programs.
#[derive(Serialize)]
struct Tested {
    ways: Vec<Way>,
    failed: usize,
}

type Files = BTreeMap<ModuleName, Vec<(OnDisk, bool)>>;

pub(super) async fn test(out: &Output, verb: &Test) -> Result<Exit, Failure> {
    let (files, limits) = match &verb.new {
        Some(new) => between(out, &verb.old, new)?,
        None => all_in(out, &verb.old)?,
    };
    let exported = exported(out, verb, &files)?;
    let bench = Bench::new()?;
    let mut ways = Vec::new();
    for (name, files) in files {
        let of_it: Vec<_> = exported
            .iter()
            .filter(|(_, saved)| saved.tag.module == name)
            .cloned()
            .collect();
        out.talk(&format!("trying {name}: {}", count(files.len() as u64, "version")));
        let trial = bench.trial(files, &limits).await?;
        ways.extend(trial.run(&of_it).await);
    }
    let failed = ways.iter().filter(|way| !way.failed.is_empty()).count();
    let exit = if failed == 0 { Exit::Done } else { Exit::Failed };
    if out.json {
        out.json(&Tested { ways, failed }, exit);
        return Ok(exit);
    }
    show(out, &ways, failed);
    Ok(exit)
}

/// The stateful modules that are in both releases; other versions of them only lie between.
fn between(out: &Output, old: &Path, new: &Path) -> Result<(Files, LimitsSpec), Failure> {
    let (old, new) = (ReadRelease::read(old)?, ReadRelease::read(new)?);
    let told: BTreeSet<_> = old.passed_over.iter().chain(&new.passed_over).collect();
    told.iter().for_each(|why| out.talk(why));
    let mut files = Files::new();
    for (name, after) in &new.files {
        let Some(before) = old.files.get(name) else { continue };
        let is_other = before.id().digest != after.id().digest;
        if is_other && keeps_state(before) && keeps_state(after) {
            files.insert(name.clone(), vec![(before.clone(), true), (after.clone(), true)]);
        }
    }
    for other in old.others.iter().chain(&new.others).filter(|other| keeps_state(other)) {
        if let Some(known) = files.get_mut(&other.id().name) {
            let (one, another) = (&known[0].0.id().version, &known[1].0.id().version);
            let is_between = other.id().version > *one.min(another) && other.id().version < *one.max(another);
            if is_between && known.iter().all(|(known, _)| known.id().version != other.id().version) {
                known.push((other.clone(), false));
            }
        }
    }
    Ok((files, new.release.limits))
}

/// Every version of every stateful module in a directory.
fn all_in(out: &Output, folder: &Path) -> Result<(Files, LimitsSpec), Failure> {
    let (found, passed_over) = modules_of(folder)?;
    passed_over.iter().for_each(|why| out.talk(why));
    let mut files = Files::new();
    for file in found.into_iter().filter(keeps_state) {
        files.entry(file.id().name.clone()).or_default().push((file, true));
    }
    if files.is_empty() {
        let message = format!(
            "{}: no module that keeps state lies there; name a directory with two versions of one, or two releases",
            folder.display()
        );
        return Err(Failure::new("no-modules", Exit::Refused, message));
    }
    Ok((files, LimitsSpec::default()))
}

fn keeps_state(file: &OnDisk) -> bool {
    file.module.node.keeps_state() && file.module.node.interface.stateful
}

/// The exported states: of one file, or of all that lie in a directory.
fn exported(out: &Output, verb: &Test, files: &Files) -> Result<Vec<(String, SavedState)>, Failure> {
    let read = |path: &Path| -> Result<(String, SavedState), Failure> {
        let refused = |why: String| Failure::new("bad-state", Exit::Refused, format!("{}: {why}", path.display()));
        let bytes = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok((name, read_state_file(&bytes).map_err(refused)?))
    };
    let is_known = |saved: &SavedState| files.contains_key(&saved.tag.module);
    if let Some(path) = &verb.state {
        let state = read(path)?;
        if !is_known(&state.1) {
            let known: Vec<_> = files.keys().map(ToString::to_string).collect();
            let message = format!(
                "{}: it is a state of `{}`; there are: {}",
                path.display(),
                state.1.tag.module,
                known.join(", ")
            );
            return Err(Failure::new("no-such-module", Exit::Refused, message));
        }
        return Ok(vec![state]);
    }
    let Some(corpus) = &verb.corpus else {
        return Ok(Vec::new());
    };
    let failed = |error: std::io::Error| Failure::new("io", Exit::Refused, format!("{}: {error}", corpus.display()));
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(corpus).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    let mut states = Vec::new();
    for path in paths {
        let state = read(&path)?;
        match is_known(&state.1) {
            true => states.push(state),
            false => out.talk(&format!(
                "passed over {}: a state of `{}`",
                path.display(),
                state.1.tag.module
            )),
        }
    }
    Ok(states)
}

fn show(out: &Output, ways: &[Way], failed: usize) {
    let row = |way: &Way| {
        let via: Vec<_> = way.via.iter().map(ToString::to_string).collect();
        let to = match via.is_empty() {
            true => way.to.to_string(),
            false => format!("{} by {}", way.to, via.join(", ")),
        };
        let result = match (&way.failed[..], &way.skipped, way.same_after_return) {
            ([], Some(_), _) => "left out",
            ([], None, Some(true)) => "good, the same after the way back",
            ([], None, Some(false)) => "good, not the same after the way back",
            ([], None, None) => "good",
            _ => "FAILED",
        };
        vec![
            way.module.to_string(),
            way.from.to_string(),
            to,
            clean(&way.state),
            way.bytes.map(size).unwrap_or_default(),
            way.time_us.map(time).unwrap_or_default(),
            result.to_string(),
        ]
    };
    let rows: Vec<_> = ways.iter().map(row).collect();
    show_table(
        out,
        &["MODULE", "FROM", "TO", "STATE", ">SIZE", ">TIME", "RESULT"],
        &rows,
    );
    for way in ways {
        let name = format!("{} {} -> {} ({})", way.module, way.from, way.to, way.state);
        for why in &way.failed {
            let label = out.paint(Style::Red, "failed:");
            out.line(&format!("{label} {}", clean(&format!("{name}: {why}"))));
        }
        way.skipped
            .iter()
            .for_each(|why| out.line(&clean(&format!("left out: {name}: {why}"))));
    }
    let tried = count(ways.len() as u64, "way");
    out.line(&match (ways.len(), failed) {
        (0, _) => "nothing to try: no module that keeps state has two versions here".to_string(),
        (_, 0) => format!("{tried}, all good"),
        _ => format!("{tried}, {failed} failed"),
    });
}
