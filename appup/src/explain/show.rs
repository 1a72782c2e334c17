//! Steps as text, one a line.

use super::{Changed, Direction, Step};
use crate::relup::{CallSpec, When};
use std::fmt;

/// `[a, b]`
fn list<T: fmt::Display>(out: &mut fmt::Formatter<'_>, of: &[T]) -> fmt::Result {
    out.write_str("[")?;
    for (place, one) in of.iter().enumerate() {
        write!(out, "{}{one}", if place == 0 { "" } else { ", " })?;
    }
    out.write_str("]")
}

impl fmt::Display for Direction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Direction::Up => "up",
            Direction::Down => "down",
        })
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.module)?;
        for (place, from) in self.from.iter().enumerate() {
            write!(out, "{}{from}", if place == 0 { " from " } else { " and " })?;
        }
        for (place, via) in self.via.iter().enumerate() {
            write!(out, "{}{via}", if place == 0 { " via " } else { " and " })?;
        }
        Ok(())
    }
}

impl fmt::Display for CallSpec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}(", self.module, self.function)?;
        for (place, argument) in self.args.iter().enumerate() {
            write!(out, "{}{argument}", if place == 0 { "" } else { ", " })?;
        }
        out.write_str(")")
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |out: &mut fmt::Formatter<'_>, word: &str, modules: &[crate::ModuleName]| {
            write!(out, "{word} ")?;
            list(out, modules)
        };
        match self {
            Step::LoadObjectCode(modules) => named(out, "load_object_code", modules),
            Step::PointOfNoReturn => out.write_str("point_of_no_return"),
            Step::Suspend(modules) => named(out, "suspend", modules),
            Step::Load(module) => write!(out, "load {module}"),
            Step::CodeChange {
                direction,
                modules,
                per_key,
            } => {
                write!(out, "code_change {direction} ")?;
                list(out, modules)?;
                out.write_str(if *per_key { " per key" } else { "" })
            }
            Step::Resume(modules) => named(out, "resume", modules),
            Step::Stop(modules) => named(out, "stop", modules),
            Step::Start(modules) => named(out, "start", modules),
            Step::Remove(module) => write!(out, "remove {module}"),
            Step::Purge(modules) => named(out, "purge", modules),
            Step::Apply { call, undo, when } => {
                write!(out, "apply {call}")?;
                if let Some(undo) = undo {
                    write!(out, " undo {undo}")?;
                }
                out.write_str(match when {
                    When::Before | When::After => "",
                    When::Permanent => " at make_permanent",
                })
            }
        }
    }
}
