//! Accounts, version 1.1.0: balances in micros, millionths of a unit of money, of which 10,000 are a cent.
//!
//! The column `cents` becomes `micros`, while accounts are used: see [`schema`].

mod schema;
mod table;

use bindings::demo::sqlite::{database, faults};
use table::{MICROS_PER_CENT, Rows, Statement, Value, number, sql};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS account (name TEXT PRIMARY KEY, micros INTEGER NOT NULL DEFAULT 0)";
/// Ten millions, so that no sum of them gets too large.
const CENTS_MAX: u64 = 1_000_000_000;

struct Accounts;

wasmhot_guest::module! {
    name: "accounts",
    kind: pool,
    world: "accounts",
    exports: Accounts,
}

impl bindings::Guest for Accounts {
    fn open_account(name: String) -> Result<(), String> {
        use_table(&[sql("INSERT INTO account (name, micros) VALUES (?1, 0)", &[text(&name)])]).map(drop)
    }

    fn deposit(name: String, cents: u64) -> Result<u64, String> {
        if cents > CENTS_MAX {
            return Err(format!("no more than {CENTS_MAX} cents at once"));
        }
        let micros = Value::Integer((cents * MICROS_PER_CENT).cast_signed());
        let update = "UPDATE account SET micros = micros + ?2 WHERE name = ?1";
        Ok(change(&name, update, micros)? / MICROS_PER_CENT)
    }

    fn balance(name: String) -> Result<u64, String> {
        Ok(micros(&name, &use_table(&[select_balance(&name)])?)? / MICROS_PER_CENT)
    }

    fn add_interest(name: String, millionths: u64) -> Result<u64, String> {
        if millionths > 1_000_000 {
            return Err("no more than the balance itself".into());
        }
        // Whole parts and the rest by themselves, since the product of both would be too large for an integer.
        let update = "UPDATE account SET micros = micros + micros / 1000000 * ?2 + micros % 1000000 * ?2 / 1000000 WHERE name = ?1";
        change(&name, update, Value::Integer(millionths.cast_signed()))
    }

    fn rows() -> Result<u64, String> {
        let rows = use_table(&[sql("SELECT count(*) FROM account", &[])])?;
        number(&rows).ok_or_else(|| "no count".into())
    }

    fn integrity_check() -> Result<String, String> {
        database::integrity_check()
    }

    fn version() -> String {
        env!("CARGO_PKG_VERSION").into()
    }

    fn expand() -> Result<(), String> {
        schema::expand(&database::run)
    }

    fn undo_expand() -> Result<(), String> {
        schema::undo_expand(&database::run)
    }

    fn contract() -> Result<(), String> {
        schema::contract(&database::run)
    }

    fn undo_contract() -> Result<(), String> {
        schema::undo_contract(&database::run)
    }

    fn schema() -> Result<String, String> {
        schema::describe(&database::run)
    }

    fn fail_in_the_middle() -> Result<(), String> {
        let mut statements = schema::expand_at_once(&database::run)?;
        statements.push(sql("INSERT INTO nowhere VALUES (1)", &[]));
        database::run(&statements).map(drop)
    }

    fn expand_then_trap(after_rows: u64) -> Result<(), String> {
        schema::add_column(&database::run)?;
        schema::copy(&database::run, after_rows)?;
        panic!("asked to trap after {after_rows} rows");
    }

    fn expand_then_trap_in_transaction() -> Result<(), String> {
        faults::trap_in_transaction(&schema::expand_at_once(&database::run)?)
    }

    fn expand_slowly() -> Result<(), String> {
        faults::stay_in_transaction(&schema::expand_at_once(&database::run)?)
    }
}

fn use_table(statements: &[Statement]) -> Result<Rows, String> {
    let mut all = vec![sql(TABLE, &[])];
    all.extend_from_slice(statements);
    database::run(&all)
}

/// Carries out an update of one account, and gives its new balance in micros.
fn change(name: &str, update: &str, by: Value) -> Result<u64, String> {
    micros(
        name,
        &use_table(&[sql(update, &[text(name), by]), select_balance(name)])?,
    )
}

/// What [`select_balance`] gave.
fn micros(name: &str, rows: &[Vec<Value>]) -> Result<u64, String> {
    match rows {
        [] => Err(format!("no account `{name}`")),
        rows => {
            number(rows).ok_or_else(|| format!("account `{name}` has no micros yet: expand has not come to its end"))
        }
    }
}

fn select_balance(name: &str) -> Statement {
    sql("SELECT micros FROM account WHERE name = ?1", &[text(name)])
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}
