//! stub
use super::{CheckOptions, Checked, Transition};
use crate::graph::Wiring;
use crate::refusal::Refusal;

/// Checks an upgrade.
pub fn check(transition: &Transition, previous: &Wiring, _options: &CheckOptions) -> Result<Checked, Vec<Refusal>> {
    let (wiring, refusals, warnings) = transition.new.resolve_from(previous);
    if !refusals.is_empty() {
        return Err(refusals);
    }
    Ok(Checked {
        wiring,
        warnings,
        ..Checked::default()
    })
}
