//! Before any gate closes: large states are sent ahead to the new instances, in chunks, while the old ones serve (`incremental`). Behind
//! the gate only the rest is left: so a pause does not grow with the state (P6).

use super::plan::{Plan, StateFrom};
use super::prepare::Prepared;
use super::{Core, failed, transfer};
use crate::call::chunks::{Left, Session};
use crate::call::lane::{Lane, Live};
use crate::call::routes::{Routes, Target};
use crate::control::protocol::{Exit, Failure};
use crate::instance::{Change, Instance, InstanceError};
use std::sync::Arc;
use std::time::Instant;
use wasmhot_appup::{Action, Limits};

/// A state of which all but the rest is in the new instance.
pub(super) struct SentAhead {
    pub(super) change: Change,
    pub(super) session: Session,
}

/// Sends what can be sent ahead, of all modules at the same time.
pub(super) async fn send(core: &Core, plan: &Plan, old: &Routes, prepared: &mut [Prepared]) -> Result<(), Failure> {
    let sending = prepared.iter_mut().filter_map(|item| {
        let lane = lane_of(plan, old, item)?;
        Some(send_one(core, item, lane))
    });
    futures_util::future::try_join_all(sending).await?;
    Ok(())
}

/// The lane whose state goes in chunks.
fn lane_of(plan: &Plan, old: &Routes, item: &Prepared) -> Option<Arc<Lane>> {
    let Some(Target::Single(lane)) = old.modules.get(&item.step.module).map(|route| &route.target) else {
        return None;
    };
    let reads = item.template.as_ref()?.version.places.incremental.is_some();
    let is_plain = item.step.action == Action::Update && item.step.via.is_empty() && item.step.state_from.is_empty();
    let is_live = matches!(plan.state_of(&item.step), StateFrom::Live) && lane.figures().is_live;
    let can = reads && is_plain && is_live && item.hands_over() && Session::is_possible(lane);
    can.then(|| Arc::clone(lane))
}

async fn send_one(core: &Core, item: &mut Prepared, lane: Arc<Lane>) -> Result<(), Failure> {
    let (Some(live), Some(new)) = (item.live.clone(), item.instance.take()) else {
        return Ok(());
    };
    let began = Instant::now();
    // A task of its own: guest code runs in it.
    let sending = core
        .services
        .guests
        .spawn(take_out(lane, live, new, item.limits.clone()));
    let ended = |_| InstanceError::Unreadable("the task ended before its time".to_string());
    let sent = sending.await.map_err(ended).and_then(|sent| sent);
    let (new, sent) = sent.map_err(|error| failed(&item.step.module, "transfer", Exit::CalledOff, &error))?;
    item.instance = Some(new);
    if let Some(sent) = &sent {
        item.report.ahead_bytes = Some(sent.session.sent);
        item.report.ahead_us = Some(transfer::micros(began.elapsed()));
    }
    item.ahead = sent;
    Ok(())
}

/// None where the old version says that it cannot be done in chunks: then the state goes as a whole.
async fn take_out(
    lane: Arc<Lane>,
    live: Arc<Live>,
    mut new: Box<Instance>,
    limits: Limits,
) -> Result<(Box<Instance>, Option<SentAhead>), InstanceError> {
    let from = lane.live.load().template.version.id.version.clone();
    let change = Change::between(&from, &live.template.version.id.version, &live.extra);
    let limit = limits.transfer_timeout;
    let work = async {
        let mut session = match Session::begin(&lane, &change).await {
            Ok(session) => session,
            Err(InstanceError::Said { said, .. }) => {
                tracing::info!("the state of {} goes as a whole: {said}", lane.name());
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        match session.send(&change, Some(&mut new), limits.migrate_timeout).await? {
            Left::Takes(time) if time > limits.max_pause / 2 => {
                let said = format!(
                    "calls change the state as fast as it is sent: {} bytes are left, which would take {time:.1?} behind the gate \
                     (max_pause is {:?})",
                    session.pending, limits.max_pause
                );
                Err(InstanceError::TooFast(said))
            }
            Left::Few | Left::Takes(_) => Ok(Some(session)),
        }
    };
    let sent = tokio::time::timeout(limit, work).await;
    let session = sent.map_err(|_| InstanceError::Timeout {
        phase: "transfer",
        limit,
    })??;
    Ok((new, session.map(|session| SentAhead { change, session })))
}
