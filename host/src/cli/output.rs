//! What is printed: results on standard output, talk on standard error, colours where they are wanted.

use super::args::{Color, Global};
use super::text::clean;
use crate::control::protocol::{Exit, Failure};
use serde::Serialize;
use std::io::{IsTerminal, Write};

/// How this command prints: the global flags, and what is at the other end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    pub(super) json: bool,
    pub(super) quiet: bool,
    /// How often `-v` was given.
    pub(super) verbose: u8,
    /// `--yes`.
    pub(super) yes: bool,
    /// Progress may be shown.
    pub(super) progress: bool,
    /// Standard output is a terminal.
    pub(super) terminal: bool,
    color_out: bool,
    color_err: bool,
}

/// A colour or weight.
#[derive(Clone, Copy, Debug)]
pub(super) enum Style {
    Bold,
    Dim,
    Red,
    Yellow,
    Green,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Red => "1;31",
            Style::Yellow => "33",
            Style::Green => "32",
        }
    }
}

/// A result and the exit code that goes with it.
#[derive(Serialize)]
struct WithExit<'a, T> {
    #[serde(flatten)]
    result: &'a T,
    exit: Exit,
}

impl Output {
    pub(super) fn new(global: &Global) -> Self {
        let (out, err) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
        Self {
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose,
            yes: global.yes,
            progress: err && !global.no_progress && !global.quiet && !dumb(),
            terminal: out,
            color_out: colored(global.color, out),
            color_err: colored(global.color, err),
        }
    }

    /// A line of a result. A reader that has gone is no fault of ours.
    pub(super) fn line(&self, text: &str) {
        self.next_line(text);
    }

    /// A line of a result that goes on. False if the reader has gone: more lines are of no use then.
    pub(super) fn next_line(&self, text: &str) -> bool {
        writeln!(std::io::stdout(), "{text}").is_ok()
    }

    /// Text of a result in a style.
    pub(super) fn paint(&self, style: Style, text: &str) -> String {
        painted(self.color_out, style, text)
    }

    /// A line for the person.
    pub(super) fn talk(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr(), "wasmhot: {}", clean(text));
        }
    }

    /// A line for the person, also with `-q`.
    pub(super) fn warn(&self, text: &str) {
        let label = painted(self.color_err, Style::Yellow, "warning:");
        let _ = writeln!(std::io::stderr(), "{label} {}", clean(text));
    }

    /// True if talk has colours.
    pub(super) fn color_err(&self) -> bool {
        self.color_err
    }

    /// A result for programs, with the exit code in it. It has to be a map.
    pub(super) fn json(&self, result: &impl Serialize, exit: Exit) {
        match serde_json::to_string_pretty(&WithExit { result, exit }) {
            Ok(text) => self.line(&text),
            Err(error) => self.warn(&error.to_string()),
        }
    }

    /// One of many results, in a line. False as in [`Output::next_line`].
    pub(super) fn json_line(&self, result: &impl Serialize) -> bool {
        match serde_json::to_string(result) {
            Ok(text) => self.next_line(&text),
            Err(error) => {
                self.warn(&error.to_string());
                true
            }
        }
    }

    /// A failure: with `--json` on standard output, `exit` in it.
    pub(super) fn failure(&self, failure: &Failure) {
        if self.json {
            match serde_json::to_string_pretty(failure) {
                Ok(text) => self.line(&text),
                Err(error) => self.warn(&error.to_string()),
            }
            return;
        }
        let mut err = std::io::stderr();
        let label = painted(self.color_err, Style::Red, "error:");
        let _ = writeln!(err, "{label} {}", clean(&words(failure)));
        if let Some(note) = note(failure) {
            let label = painted(self.color_err, Style::Bold, "note:");
            let _ = writeln!(err, "{label} {note}");
        }
    }
}

/// The message; of a failed call without the note that is made of its code.
fn words(failure: &Failure) -> String {
    let Some(call) = &failure.call else {
        // Drawn diagnostics say of each of them that it is an error.
        let message = &failure.message;
        return message.strip_prefix("error: ").unwrap_or(message).to_string();
    };
    let place = match (&call.module, &call.version) {
        (Some(module), Some(version)) => format!("{module}@{version}: "),
        (Some(module), None) => format!("{module}: "),
        (None, _) => String::new(),
    };
    match &call.backtrace {
        Some(backtrace) => format!("{place}{}\n{backtrace}", call.message),
        None => format!("{place}{}", call.message),
    }
}

/// What a person wants to know next: was it done?
fn note(failure: &Failure) -> Option<String> {
    if let Some(call) = &failure.call {
        return Some(format!("the call was {} ({})", executed(call.executed), call.code));
    }
    let phase = failure.phase.as_deref()?;
    Some(match failure.exit {
        Exit::Refused => format!("refused in {phase}: nothing was attempted, everything runs as before"),
        // A large state is sent ahead of the gate.
        Exit::CalledOff if phase == "transfer" => {
            format!("called off in {phase}, before any gate closed: the old version serves on")
        }
        Exit::CalledOff => format!("called off in {phase}, after a gate had closed; the old version serves on"),
        _ => format!("ended in {phase}, before any gate closed: no call waited, everything runs as before"),
    })
}

fn executed(executed: crate::error::Executed) -> &'static str {
    match executed {
        crate::error::Executed::NotExecuted => "not executed",
        crate::error::Executed::Unknown => "started, and may have been executed",
    }
}

fn painted(colored: bool, style: Style, text: &str) -> String {
    if colored {
        format!("\x1b[{}m{text}\x1b[0m", style.code())
    } else {
        text.to_string()
    }
}

fn dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb")
}

/// The flag goes before `NO_COLOR`, and that before what the terminal can do.
fn colored(flag: Color, terminal: bool) -> bool {
    match flag {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => terminal && !dumb() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}

/// What is said before the flags are known, because they could not be read.
pub(super) mod talk_to {
    use super::{Color, Exit, Failure, IsTerminal, Write, colored};

    /// Help, the version, or what is wrong with the command line: for a program as a failure in JSON.
    pub(in crate::cli) fn parser(error: &clap::Error, exit: Exit) {
        let typed: Vec<_> = std::env::args_os().collect();
        let text = error.render();
        if exit == Exit::Usage && typed.iter().any(|arg| arg == "--json") {
            let text = text.to_string();
            let message = text.trim().trim_start_matches("error: ");
            let failure = Failure::new("usage", exit, message);
            let json = serde_json::to_string_pretty(&failure).unwrap_or_default();
            let _ = writeln!(std::io::stdout(), "{json}");
            return;
        }
        let flag = typed
            .windows(2)
            .find_map(|pair| match (pair[0].to_str()?, pair[1].to_str()?) {
                ("--color", "always") | (_, "--color=always") => Some(Color::Always),
                ("--color", "never") | (_, "--color=never") => Some(Color::Never),
                _ => None,
            });
        let terminal = if error.use_stderr() {
            std::io::stderr().is_terminal()
        } else {
            std::io::stdout().is_terminal()
        };
        let text = if colored(flag.unwrap_or(Color::Auto), terminal) {
            text.ansi().to_string()
        } else {
            text.to_string()
        };
        let _ = if error.use_stderr() {
            write!(std::io::stderr(), "{text}")
        } else {
            write!(std::io::stdout(), "{text}")
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{CallError, CallErrorCode};

    #[test]
    fn a_failed_call_says_whether_it_was_executed() {
        let error = CallError::not_executed(CallErrorCode::Overloaded, "the queue is full");
        let failure = Failure::from(error);
        assert_eq!(words(&failure), "the queue is full");
        assert_eq!(
            note(&failure).as_deref(),
            Some("the call was not executed (overloaded)")
        );
    }

    #[test]
    fn results_carry_the_exit_code() {
        let report = crate::control::protocol::UpgradeReport::default();
        let text = serde_json::to_value(WithExit {
            result: &report,
            exit: Exit::Degraded,
        });
        assert_eq!(text.expect("is JSON")["exit"], 8);
    }

    #[test]
    fn the_flag_goes_before_the_terminal() {
        assert!(colored(Color::Always, false));
        assert!(!colored(Color::Never, true));
        assert!(!colored(Color::Auto, false));
    }
}
