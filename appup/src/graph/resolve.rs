//! stub
use super::{Graph, Wiring};
use crate::interface::{FunctionName, FunctionType, ModuleInterface};
use crate::refusal::{Refusal, Warning};

pub(super) fn export_for<'i>(
    interface: &'i ModuleInterface,
    imported: &FunctionName,
) -> Option<(&'i FunctionName, &'i FunctionType)> {
    interface.exports.get_key_value(imported)
}

pub(super) fn resolve(_graph: &Graph, _previous: &Wiring) -> (Wiring, Vec<Refusal>, Vec<Warning>) {
    (Wiring::default(), Vec::new(), Vec::new())
}
