//! From `cents` to `micros` and back, while accounts are used.
//!
//! ```text
//!            expand            contract
//!   cents  --------->  both  ------------>  micros
//!          <---------        <------------
//!          undo_expand       undo_contract
//! ```
//!
//! With `both` the two versions of this module can use the table side by side: whichever column one of them changes, a trigger changes
//! the other. Each step ends where it ought to from wherever it starts, also after it was cut off: it may be called again.

use crate::table::{MICROS_PER_CENT, Rows, Run, Statement, Value, number, sql};

const OLD_TABLE: &str = "CREATE TABLE account (name TEXT PRIMARY KEY, cents INTEGER NOT NULL DEFAULT 0)";
const ADD_MICROS: &str = "ALTER TABLE account ADD COLUMN micros INTEGER";
const ADD_CENTS: &str = "ALTER TABLE account ADD COLUMN cents INTEGER NOT NULL DEFAULT 0";

/// What 1.0.0 writes, in micros; parts of a cent stay. And what 1.1.0 writes, in cents. A trigger sets off the other, which then finds
/// nothing left to do.
const KEEP_IN_STEP: [&str; 4] = [
    "CREATE TRIGGER opened_in_cents AFTER INSERT ON account WHEN NEW.micros IS NULL
     BEGIN UPDATE account SET micros = cents * 10000 WHERE name = NEW.name; END",
    "CREATE TRIGGER opened_in_micros AFTER INSERT ON account WHEN NEW.micros IS NOT NULL AND NEW.micros / 10000 <> NEW.cents
     BEGIN UPDATE account SET cents = micros / 10000 WHERE name = NEW.name; END",
    "CREATE TRIGGER changed_in_cents AFTER UPDATE OF cents ON account WHEN NEW.micros IS NOT NULL AND NEW.micros / 10000 <> NEW.cents
     BEGIN UPDATE account SET micros = micros + (NEW.cents - OLD.cents) * 10000 WHERE name = NEW.name; END",
    "CREATE TRIGGER changed_in_micros AFTER UPDATE OF micros ON account WHEN NEW.micros IS NOT NULL AND NEW.micros / 10000 <> NEW.cents
     BEGIN UPDATE account SET cents = micros / 10000 WHERE name = NEW.name; END",
];
const DROP_TRIGGERS: [&str; 4] = [
    "DROP TRIGGER opened_in_cents",
    "DROP TRIGGER opened_in_micros",
    "DROP TRIGGER changed_in_cents",
    "DROP TRIGGER changed_in_micros",
];

/// Rows in one transaction: calls of others come in between.
const ROWS_AT_ONCE: u64 = 100;

/// Which columns the table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    None,
    Cents,
    Both,
    Micros,
}

pub(crate) fn expand(run: Run<'_>) -> Result<(), String> {
    add_column(run)?;
    while copy(run, ROWS_AT_ONCE)? > 0 {}
    Ok(())
}

pub(crate) fn undo_expand(run: Run<'_>) -> Result<(), String> {
    match shape(run)? {
        Shape::None | Shape::Cents => Ok(()),
        Shape::Both => all(run, &DROP_TRIGGERS, &["ALTER TABLE account DROP COLUMN micros"]),
        Shape::Micros => Err("there are no cents to go back to: undo-contract comes first".into()),
    }
}

pub(crate) fn contract(run: Run<'_>) -> Result<(), String> {
    match shape(run)? {
        Shape::None | Shape::Micros => Ok(()),
        Shape::Both if uncopied(run)? == 0 => all(run, &DROP_TRIGGERS, &["ALTER TABLE account DROP COLUMN cents"]),
        Shape::Cents | Shape::Both => Err("there are accounts without micros: expand comes first".into()),
    }
}

pub(crate) fn undo_contract(run: Run<'_>) -> Result<(), String> {
    match shape(run)? {
        Shape::None | Shape::Cents | Shape::Both => Ok(()),
        Shape::Micros => all(
            run,
            &[ADD_CENTS, "UPDATE account SET cents = micros / 10000"],
            &KEEP_IN_STEP,
        ),
    }
}

pub(crate) fn describe(run: Run<'_>) -> Result<String, String> {
    Ok(match shape(run)? {
        Shape::None => "none".into(),
        Shape::Cents => "cents".into(),
        Shape::Micros => "micros".into(),
        Shape::Both => match uncopied(run)? {
            0 => "both".into(),
            rows => format!("copying {rows}"),
        },
    })
}

/// The first half of [`expand`]: the column, and triggers, so that from now on nothing gets out of step.
pub(crate) fn add_column(run: Run<'_>) -> Result<(), String> {
    match shape(run)? {
        Shape::None => all(run, &[OLD_TABLE, ADD_MICROS], &KEEP_IN_STEP),
        Shape::Cents => all(run, &[ADD_MICROS], &KEEP_IN_STEP),
        Shape::Both | Shape::Micros => Ok(()),
    }
}

/// The second half of [`expand`], in parts: gives so many accounts their micros, and says how many there were.
pub(crate) fn copy(run: Run<'_>, rows_max: u64) -> Result<u64, String> {
    if shape(run)? == Shape::Micros {
        return Ok(0);
    }
    let some = Value::Integer(rows_max.min(i64::MAX.cast_unsigned()).cast_signed());
    let per_cent = Value::Integer(MICROS_PER_CENT.cast_signed());
    let update = "UPDATE account SET micros = cents * ?2
                  WHERE rowid IN (SELECT rowid FROM account WHERE micros IS NULL LIMIT ?1)";
    count(&run(&[sql(update, &[some, per_cent]), sql("SELECT changes()", &[])])?)
}

/// All of [`expand`] as statements of one transaction, of a table that is not expanded.
pub(crate) fn expand_at_once(run: Run<'_>) -> Result<Vec<Statement>, String> {
    let first = match shape(run)? {
        Shape::None => vec![OLD_TABLE, ADD_MICROS],
        Shape::Cents => vec![ADD_MICROS],
        Shape::Both | Shape::Micros => return Err("it is expanded already".into()),
    };
    let copy = ["UPDATE account SET micros = cents * 10000"];
    let texts = first.into_iter().chain(KEEP_IN_STEP).chain(copy);
    Ok(texts.map(|text| sql(text, &[])).collect())
}

fn shape(run: Run<'_>) -> Result<Shape, String> {
    let rows = run(&[sql("SELECT name FROM pragma_table_info('account')", &[])])?;
    let has = |column: &str| {
        rows.iter()
            .any(|row| matches!(&row[..], [Value::Text(name)] if name == column))
    };
    Ok(match (has("cents"), has("micros")) {
        (false, false) => Shape::None,
        (true, false) => Shape::Cents,
        (true, true) => Shape::Both,
        (false, true) => Shape::Micros,
    })
}

fn uncopied(run: Run<'_>) -> Result<u64, String> {
    count(&run(&[sql("SELECT count(*) FROM account WHERE micros IS NULL", &[])])?)
}

fn count(rows: &Rows) -> Result<u64, String> {
    number(rows).ok_or_else(|| format!("no count: {rows:?}"))
}

/// One transaction.
fn all(run: Run<'_>, first: &[&str], then: &[&str]) -> Result<(), String> {
    let statements: Vec<Statement> = first.iter().chain(then).map(|text| sql(text, &[])).collect();
    run(&statements).map(drop)
}

#[cfg(test)]
mod tests;
