//! Accounts, version 1.0.0: balances in cents, in a table of a SQLite database that another module owns.

use bindings::demo::sqlite::database::{self, Statement, Value};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS account (name TEXT PRIMARY KEY, cents INTEGER NOT NULL DEFAULT 0)";
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
        run(&[sql("INSERT INTO account (name) VALUES (?1)", vec![Value::Text(name)])]).map(drop)
    }

    fn deposit(name: String, cents: u64) -> Result<u64, String> {
        if cents > CENTS_MAX {
            return Err(format!("no more than {CENTS_MAX} cents at once"));
        }
        let parameters = vec![Value::Text(name.clone()), Value::Integer(cents.cast_signed())];
        let rows = run(&[
            sql("UPDATE account SET cents = cents + ?2 WHERE name = ?1", parameters),
            select_balance(&name),
        ])?;
        number(&rows).ok_or_else(|| no_account(&name))
    }

    fn balance(name: String) -> Result<u64, String> {
        let rows = run(&[select_balance(&name)])?;
        number(&rows).ok_or_else(|| no_account(&name))
    }

    fn rows() -> Result<u64, String> {
        let rows = run(&[sql("SELECT count(*) FROM account", vec![])])?;
        number(&rows).ok_or_else(|| "no count".into())
    }

    fn integrity_check() -> Result<String, String> {
        database::integrity_check()
    }

    fn version() -> String {
        env!("CARGO_PKG_VERSION").into()
    }
}

fn run(statements: &[Statement]) -> Result<Vec<Vec<Value>>, String> {
    let mut all = vec![sql(TABLE, vec![])];
    all.extend_from_slice(statements);
    database::run(&all)
}

fn sql(sql: &str, parameters: Vec<Value>) -> Statement {
    Statement {
        sql: sql.into(),
        parameters,
    }
}

fn select_balance(name: &str) -> Statement {
    sql(
        "SELECT cents FROM account WHERE name = ?1",
        vec![Value::Text(name.into())],
    )
}

fn no_account(name: &str) -> String {
    format!("no account `{name}`")
}

/// The number in the first row, if there is one.
fn number(rows: &[Vec<Value>]) -> Option<u64> {
    match rows.first()?.first()? {
        Value::Integer(integer) => u64::try_from(*integer).ok(),
        Value::Null | Value::Real(_) | Value::Text(_) | Value::Blob(_) => None,
    }
}
