//! The part of an upgrade for which calls wait: from the closing of the gates to their opening (R21 to R26).

use super::journal::Attempt;
use super::old::{Sources, Taken, take_old};
use super::plan::Plan;
use super::prepare::Prepared;
use super::transfer::{self, Transferred};
use super::{Core, switch};
use crate::call::gate::{Gate, Pressed};
use crate::call::gates::ClosedGates;
use crate::call::routes::{Routes, Target};
use crate::control::protocol::{Exit, Failure, UpgradeReport};
use crate::event::{EventKind, Happening};
use crate::fault::may_be_killed_here;
use crate::instance::capability::config::Values;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use wasmhot_appup::{Checked, Limits, ModuleName, Wiring};

impl Core {
    /// From the closing of the gates to their opening. Gives the old instances, which nobody needs any more; on a failure everything
    /// is as before.
    pub(super) async fn gated_part(
        self: &Arc<Self>,
        plan: &Plan,
        old: &Arc<Routes>,
        checked: Checked,
        (prepared, values): (&mut [Prepared], &BTreeMap<ModuleName, Arc<Values>>),
        attempt: &mut Attempt,
        report: &mut UpgradeReport,
    ) -> Result<Taken, Failure> {
        let revision = attempt.revision;
        let gate = Gate::new(
            revision,
            checked.gated.clone(),
            next_interfaces(prepared),
            plan.options.limits.gate_queue_max,
        );
        let members: Vec<Target> = checked
            .gated
            .iter()
            .filter_map(|name| Some(old.modules.get(name)?.target.clone()))
            .collect();
        let closed = ClosedGates::close(Arc::clone(&gate), members);
        may_be_killed_here("gated");
        report.on_old = gate.active();
        if !closed.members.is_empty() {
            let gated: Vec<_> = checked.gated.iter().map(ToString::to_string).collect();
            self.events.publish(
                Happening::new(EventKind::Gated, format!("new calls wait: {}", gated.join(", "))).revision(revision),
            );
        }
        let outcome = self
            .hand_over(plan, old, &checked.wiring, &gate, prepared, attempt)
            .await;
        let outcome = outcome.map(|mut transferred| {
            let next = switch::next_routes(self, plan, old, revision, checked.wiring, prepared, values);
            report.on_old += switch::switch(self, old, &next, prepared, &mut transferred.old);
            transferred
        });
        let is_gated = !closed.members.is_empty();
        drop(closed);
        let (waited, closed_for) = gate.figures();
        report.waited = waited;
        report.gate_us = if is_gated { transfer::micros(closed_for) } else { 0 };
        Ok(outcome?.old)
    }

    /// Quiet, save, migrate, commit; called off when the calls that wait have waited long enough (R24).
    async fn hand_over(
        &self,
        plan: &Plan,
        old: &Routes,
        wiring: &Wiring,
        gate: &Gate,
        prepared: &mut [Prepared],
        attempt: &mut Attempt,
    ) -> Result<Transferred, Failure> {
        let quiesce_timeout = shortest(prepared, |limits| limits.quiesce_timeout);
        let max_pause = shortest(prepared, |limits| limits.max_pause);
        let sources = Sources::of(plan, old, prepared);
        let work = async {
            let taken = tokio::time::timeout(quiesce_timeout, take_old(gate, &sources))
                .await
                .map_err(|_| {
                    let message = format!(
                        "{} calls still ran when quiesce_timeout ({quiesce_timeout:?}) passed; raise --quiesce-timeout, or apply it again \
                         when they have ended",
                        gate.active()
                    );
                    Failure::new("not-quiet", Exit::CalledOff, message).in_phase("quiesce")
                })?;
            may_be_killed_here("quiet");
            transfer::transfer(self, plan, prepared, taken).await
        };
        let mut transferred = tokio::select! {
            biased;
            done = work => done?,
            pressed = gate.pressed(max_pause) => {
                let (waited, closed) = gate.figures();
                let why = match pressed {
                    Pressed::Crowded => "the queue of a gated module was at 90 % of gate_queue_max".to_string(),
                    Pressed::Waited(limit) => format!("a call had waited for max_pause ({limit:?})"),
                };
                let message = format!(
                    "{why}: {waited} calls waited, {} still ran in gated modules, the gate was closed for {closed:.1?}; apply it again \
                     when there is less traffic, or raise --max-pause or --gate-queue-max",
                    gate.active()
                );
                return Err(Failure::new("too-much-traffic", Exit::CalledOff, message).in_phase("gate"));
            }
        };
        may_be_killed_here("migrated");
        // Not to be given up half way: a commit that has begun is waited for.
        switch::commit(self, plan, wiring, &mut transferred, attempt).await?;
        may_be_killed_here("committed");
        Ok(transferred)
    }
}

/// The shortest of a limit among the modules that move; its default where none does.
fn shortest(prepared: &[Prepared], of: fn(&Limits) -> Duration) -> Duration {
    let of_moving = prepared.iter().map(|item| of(&item.limits)).min();
    of_moving.unwrap_or_else(|| of(&Limits::default()))
}

fn next_interfaces(prepared: &[Prepared]) -> BTreeMap<ModuleName, Arc<wasmhot_appup::ModuleInterface>> {
    prepared
        .iter()
        .filter_map(|item| {
            Some((
                item.step.module.clone(),
                Arc::clone(&item.template.as_ref()?.version.interface),
            ))
        })
        .collect()
}
