//! Writes an appup, as a relup is written.

use super::{Appup, AppupEntry};
use crate::relup::Text;
use toml::ser::Error;

pub(super) fn write(appup: &Appup) -> Result<String, Error> {
    let mut text = Text("format = 1\n".to_owned());
    text.line("module", &appup.module)?;
    text.line("version", &appup.version)?;
    for (title, calls, range, entries) in [
        ("[[up]]", "[[up.calls]]", "from", &appup.up),
        ("[[down]]", "[[down.calls]]", "to", &appup.down),
    ] {
        for entry in entries {
            text.section(title);
            write_entry(&mut text, calls, range, entry)?;
        }
    }
    Ok(text.0)
}

fn write_entry(text: &mut Text, calls: &str, range: &str, entry: &AppupEntry) -> Result<(), Error> {
    text.line(range, &entry.versions)?;
    if let Some(instruction) = &entry.instruction {
        text.instruction(instruction)?;
    }
    for call in &entry.calls {
        text.section(calls);
        text.instruction(call)?;
    }
    Ok(())
}
