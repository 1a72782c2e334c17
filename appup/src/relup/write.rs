//! Writes a relup the way a person would: a section per module and instruction, what it is about first.

use super::{Instruction, Relup, Via};
use crate::name::ModuleName;
use crate::settings::ModuleSpec;
use serde::Serialize;
use serde_json::Value as Json;
use toml::Value;
use toml::ser::Error;

/// The keys of a module, in the order in which they are written.
const MODULE_KEYS: [&str; 12] = [
    "name",
    "version",
    "path",
    "sha256",
    "kind",
    "limits",
    "grants",
    "links",
    "config",
    "routes",
    "http_calls",
    "every",
];
/// Those of which an empty list says something else than none.
const EMPTY_TELLS: [&str; 2] = ["routes", "http_calls"];

/// A text under construction.
pub(crate) struct Text(pub(crate) String);

pub(super) fn write(relup: &Relup) -> Result<String, Error> {
    let mut text = Text("format = 1\n".to_owned());
    text.section("[release]");
    text.line("name", &relup.release.name)?;
    text.line("from", &relup.release.from)?;
    text.line("to", &relup.release.to)?;
    for module in &relup.modules {
        text.section("[[modules]]");
        text.module(module)?;
    }
    for middle in &relup.middle {
        text.section("[[middle]]");
        text.line("name", &middle.name)?;
        text.line("version", &middle.version)?;
        text.line("path", &middle.path)?;
        text.line("sha256", &middle.sha256)?;
    }
    for (title, instructions) in [("[[up]]", &relup.up), ("[[down]]", &relup.down)] {
        for instruction in instructions {
            text.section(title);
            text.instruction(instruction)?;
        }
    }
    Ok(text.0)
}

impl Text {
    pub(crate) fn section(&mut self, title: &str) {
        self.0.push('\n');
        self.0.push_str(title);
        self.0.push('\n');
    }

    /// One line, unless there is nothing to say.
    pub(crate) fn line(&mut self, key: &str, value: &impl Serialize) -> Result<(), Error> {
        // TOML has no null: what JSON knows as null, and `None`, is simply not written.
        let is_absent = serde_json::to_value(value).is_ok_and(|json| json.is_null());
        if is_absent {
            return Ok(());
        }
        let value = Value::try_from(value)?;
        self.0.push_str(&format!("{key} = {value}\n"));
        Ok(())
    }

    /// `state_from`, if it names anybody.
    fn state_from(&mut self, names: &[ModuleName]) -> Result<(), Error> {
        if names.is_empty() {
            Ok(())
        } else {
            self.line("state_from", &names)
        }
    }

    /// `via`, if it names any version: bare where that is all there is to say.
    fn via(&mut self, via: &[Via]) -> Result<(), Error> {
        let shown = |via: &Via| match &via.extra {
            Json::Null => Ok(Value::from(via.version.to_string())),
            _ => Value::try_from(via),
        };
        let shown: Vec<Value> = via.iter().map(shown).collect::<Result<_, _>>()?;
        if shown.is_empty() {
            Ok(())
        } else {
            self.line("via", &shown)
        }
    }

    fn module(&mut self, module: &ModuleSpec) -> Result<(), Error> {
        let mut values = toml::Table::try_from(module)?;
        if let Some(Value::Table(grants)) = values.get_mut("grants") {
            grants.retain(|_, grant| !is_empty(grant));
        }
        for key in MODULE_KEYS {
            let tells = |value: &&Value| EMPTY_TELLS.contains(&key) || !is_empty(value);
            if let Some(value) = values.get(key).filter(tells) {
                self.line(key, value)?;
            }
        }
        Ok(())
    }

    pub(crate) fn instruction(&mut self, instruction: &Instruction) -> Result<(), Error> {
        let key = instruction.key();
        match instruction {
            Instruction::Call {
                module,
                function,
                args,
                when,
                undo,
            } => {
                let call = super::CallSpec {
                    module: module.clone(),
                    function: function.clone(),
                    args: args.clone(),
                };
                self.line(key, &call)?;
                self.line("undo", undo)?;
                return self.line("when", when);
            }
            _ => self.line(key, instruction.module())?,
        }
        match instruction {
            Instruction::Update {
                extra,
                state_from,
                state,
                via,
                ..
            } => {
                self.line("extra", extra)?;
                self.state_from(state_from)?;
                self.line("state", state)?;
                self.via(via)
            }
            Instruction::AddModule { extra, state_from, .. } => {
                self.line("extra", extra)?;
                self.state_from(state_from)
            }
            Instruction::DeleteModule { purge: true, .. } => self.line("purge", &true),
            Instruction::DeleteModule { .. }
            | Instruction::LoadModule { .. }
            | Instruction::RestartModule { .. }
            | Instruction::Call { .. } => Ok(()),
        }
    }
}

/// True for tables and arrays without content.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Table(table) => table.is_empty(),
        Value::Array(array) => array.is_empty(),
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => false,
    }
}

#[cfg(test)]
mod tests;
