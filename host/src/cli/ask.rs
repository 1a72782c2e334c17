//! What cannot be taken back is asked for.

use super::output::Output;
use crate::control::protocol::{Exit, Failure};
use std::io::{IsTerminal, Write};

/// Asks on a terminal; elsewhere `--yes` has to stand in the command. `what` is the beginning of a sentence.
pub(super) fn confirm(out: &Output, what: &str) -> Result<(), Failure> {
    if out.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        let message = format!("{what}; add --yes to do it without being asked");
        return Err(Failure::new("needs-yes", Exit::Usage, message));
    }
    let mut err = std::io::stderr();
    let _ = write!(err, "{what}. Go on? [y/N] ");
    let _ = err.flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    if read.is_ok() && ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        return Ok(());
    }
    Err(Failure::new(
        "not-confirmed",
        Exit::Failed,
        "not confirmed: nothing was done",
    ))
}
