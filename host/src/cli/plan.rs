//! `wasmhot plan` and `wasmhot check`: what a relup would be, and whether one may be applied. Neither changes what runs.

use super::args::{Check, Plan as Verb};
use super::named::{place, release, way_to};
use super::output::{Output, Style};
use super::text::clean;
use crate::control::client::Client;
use crate::control::protocol::{Exit, Failure};
use crate::offline::{ReadRelease, check_relup, plan_releases, read_relup, relative_relup, write_file};
use serde::Serialize;
use std::path::{Path, PathBuf};
use wasmhot_appup::explain::Step;
use wasmhot_appup::refusal::Warning;
use wasmhot_appup::{CheckOptions, ModuleName, Plan, explain, joint_sets, split};

/// What a plan came to, for programs.
#[derive(Serialize)]
struct Planned {
    from: String,
    to: String,
    parts: Vec<Part>,
}

/// One relup of a plan.
#[derive(Serialize)]
struct Part {
    /// Where it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    relup: String,
    /// The modules that have to move together.
    joint: Vec<Vec<ModuleName>>,
    gated: Vec<ModuleName>,
    warnings: Vec<Warning>,
    lossy: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<Explained>,
}

#[derive(Serialize)]
struct Explained {
    up: Vec<String>,
    down: Vec<String>,
}

pub(super) async fn plan(out: &Output, client: &Client, verb: &Verb) -> Result<Exit, Failure> {
    let old = release(out, client, &verb.old).await?;
    let new = release(out, client, &verb.new).await?;
    let options = CheckOptions {
        allow_lossy: verb.allow_lossy,
    };
    let (whole, mut notes) = plan_releases(&old, &new, options)?;
    let plans = match verb.split {
        true => split(&whole).map_err(crate::upgrade::refused)?,
        false => vec![whole],
    };
    if plans
        .iter()
        .all(|plan| plan.relup.up.is_empty() && plan.relup.modules.is_empty())
    {
        notes.push("the two releases have the same modules, configured in the same way".to_string());
    }
    let mut parts = Vec::new();
    for (place, plan) in plans.iter().enumerate() {
        parts.push(part(verb, plan, (plans.len() > 1 || verb.split).then_some(place + 1))?);
    }
    let named = |release: &ReadRelease| format!("{} {}", release.release.name, release.release.version);
    let planned = Planned {
        from: named(&old),
        to: named(&new),
        parts,
    };
    if out.json {
        out.json(&planned, Exit::Done);
        return Ok(Exit::Done);
    }
    show(out, verb, &planned);
    notes.iter().for_each(|note| out.warn(note));
    Ok(Exit::Done)
}

/// One relup: written, if it is to be written.
fn part(verb: &Verb, plan: &Plan, number: Option<usize>) -> Result<Part, Failure> {
    let file = verb.output.as_ref().map(|output| numbered(output, number));
    let folder = match &file {
        Some(file) => file.parent().map(Path::to_path_buf).unwrap_or_default(),
        None => PathBuf::new(),
    };
    let relup = relative_relup(&plan.relup, &folder)?;
    let relup = relup.to_toml().map_err(|error| {
        let message = format!("the plan cannot be written: {error}");
        Failure::new("no-toml", Exit::Refused, message).in_phase("check")
    })?;
    if let Some(file) = &file {
        write_file(file, relup.as_bytes())?;
    }
    let lines = |steps: Vec<Step>| steps.iter().map(ToString::to_string).collect();
    Ok(Part {
        file,
        relup,
        joint: joint_sets(plan)
            .into_iter()
            .map(|set| set.into_iter().collect())
            .collect(),
        gated: plan.up.checked.gated.iter().cloned().collect(),
        warnings: plan.up.checked.warnings.clone(),
        lossy: plan.up.checked.lossy.clone(),
        explain: verb.explain.then(|| Explained {
            up: lines(plan.explain(explain::Direction::Up)),
            down: lines(plan.explain(explain::Direction::Down)),
        }),
    })
}

/// `relup.toml` → `relup-1.toml`.
fn numbered(output: &Path, number: Option<usize>) -> PathBuf {
    let Some(number) = number else {
        return output.to_path_buf();
    };
    let stem = output.file_stem().unwrap_or_default().to_string_lossy();
    output.with_file_name(format!("{stem}-{number}.toml"))
}

fn show(out: &Output, verb: &Verb, planned: &Planned) {
    let several = planned.parts.len() > 1;
    for (place, part) in planned.parts.iter().enumerate() {
        if several && (verb.output.is_none() || verb.explain) {
            out.line(&format!("# part {}", place + 1));
        }
        match (&part.file, &part.explain) {
            (_, Some(explained)) => {
                for (way, steps) in [("up", &explained.up), ("down", &explained.down)] {
                    out.line(&out.paint(Style::Bold, way));
                    steps.iter().for_each(|step| out.line(&format!("  {}", clean(step))));
                }
            }
            (None, None) => out.line(part.relup.trim_end()),
            (Some(_), None) => {}
        }
        let joint = part.joint.iter().map(|set| {
            let names: Vec<_> = set.iter().map(ToString::to_string).collect();
            names.join(" + ")
        });
        let joint: Vec<_> = joint.collect();
        let what = match joint.is_empty() {
            true => "nothing moves".to_string(),
            false => joint.join(", then "),
        };
        let way = format!("{} -> {}", planned.from, planned.to);
        match &part.file {
            Some(file) => out.line(&clean(&format!("{}: {way}: {what}", file.display()))),
            None => out.talk(&format!("{way}: {what}")),
        }
        part.warnings.iter().for_each(|warning| out.warn(&warning.to_string()));
        part.lossy.iter().for_each(|lost| out.warn(lost));
    }
}

/// A relup that may be applied, for programs.
#[derive(Serialize)]
struct Passed {
    relup: PathBuf,
    from: String,
    to: String,
    gated: Vec<ModuleName>,
    warnings: Vec<String>,
    lossy: Vec<String>,
}

pub(super) async fn check(out: &Output, client: &Client, verb: &Check) -> Result<Exit, Failure> {
    // As a host is told it, so that faults name the same files.
    let path = super::upgrade::existing(&place(client, &verb.path).await?)?;
    let old = release(out, client, &verb.from).await?;
    let options = CheckOptions {
        allow_lossy: verb.allow_lossy,
    };
    let (path, relup) = if path.is_dir() {
        let way = way_to(out, client, &path, &old, options).await?;
        way.notes.iter().for_each(|note| out.warn(note));
        (way.path, way.relup)
    } else {
        let relup = read_relup(&path)?;
        (path, relup)
    };
    let checked = check_relup(&relup, &path, &old, options)?;
    let passed = Passed {
        relup: path,
        from: format!("{} {}", old.release.name, old.release.version),
        to: format!("{} {}", relup.release.name, relup.release.to),
        gated: checked.up.gated.iter().cloned().collect(),
        warnings: checked.warnings,
        lossy: checked.up.lossy,
    };
    if out.json {
        out.json(&passed, Exit::Done);
        return Ok(Exit::Done);
    }
    let gated: Vec<_> = passed.gated.iter().map(ToString::to_string).collect();
    let gated = match gated.is_empty() {
        true => "no call waits".to_string(),
        false => format!("calls of {} wait meanwhile", gated.join(", ")),
    };
    let good = out.paint(Style::Green, "good");
    out.line(&format!(
        "{}: {good}, up and down: {} -> {}; {gated}",
        verb.path.display(),
        clean(&passed.from),
        clean(&passed.to)
    ));
    passed.warnings.iter().for_each(|warning| out.warn(warning));
    passed.lossy.iter().for_each(|lost| out.warn(lost));
    Ok(Exit::Done)
}
