//! Owns a SQLite database, version 1.0.0: the file `/data/database.sqlite` in a directory that the release grants.
//!
//! It is `single`, so that there is one owner whatever happens: calls come in order, and an upgrade begins when the last has ended. Its
//! state is the file; what an upgrade hands over is nothing. Modules that use the database keep no state, and any number of their
//! versions may run side by side.

pub mod database;

use std::cell::RefCell;
use std::thread;
use std::time::Duration;

use bindings::exports::demo::sqlite::{database as wit, faults};
use database::{Database, Statement, Value};
use wasmhot_guest::Stateful;

const PATH: &str = "/data/database.sqlite";

/// All is in the file.
#[wasmhot_guest::state]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {}

struct Sqlite;

wasmhot_guest::module! {
    name: "sqlite",
    kind: single,
    world: "sqlite",
    exports: Sqlite,
    state: State,
}

thread_local! {
    static DATABASE: RefCell<Database> = RefCell::new(Database::new(PATH));
}

impl wit::Guest for Sqlite {
    fn run(statements: Vec<wit::Statement>) -> Result<Vec<Vec<wit::Value>>, String> {
        let rows = DATABASE.with_borrow_mut(|database| database.run(&ours(statements)))?;
        Ok(rows
            .into_iter()
            .map(|row| row.into_iter().map(theirs).collect())
            .collect())
    }

    fn integrity_check() -> Result<String, String> {
        DATABASE.with_borrow_mut(Database::integrity_check)
    }
}

impl faults::Guest for Sqlite {
    fn trap_in_transaction(statements: Vec<wit::Statement>) -> Result<(), String> {
        DATABASE.with_borrow_mut(|database| database.run_halfway(&ours(statements), || panic!("asked to trap")))
    }

    fn stay_in_transaction(statements: Vec<wit::Statement>) -> Result<(), String> {
        DATABASE.with_borrow_mut(|database| {
            database.run_halfway(&ours(statements), || {
                println!("in the middle of a transaction");
                loop {
                    thread::sleep(Duration::from_millis(10));
                }
            })
        })
    }
}

impl bindings::Guest for Sqlite {
    fn version() -> String {
        State::VERSION.into()
    }
}

fn ours(statements: Vec<wit::Statement>) -> Vec<Statement> {
    let one = |statement: wit::Statement| Statement {
        sql: statement.sql,
        parameters: statement.parameters.into_iter().map(value).collect(),
    };
    statements.into_iter().map(one).collect()
}

fn value(theirs: wit::Value) -> Value {
    match theirs {
        wit::Value::Null => Value::Null,
        wit::Value::Integer(integer) => Value::Integer(integer),
        wit::Value::Real(real) => Value::Real(real),
        wit::Value::Text(text) => Value::Text(text),
        wit::Value::Blob(bytes) => Value::Blob(bytes),
    }
}

fn theirs(value: Value) -> wit::Value {
    match value {
        Value::Null => wit::Value::Null,
        Value::Integer(integer) => wit::Value::Integer(integer),
        Value::Real(real) => wit::Value::Real(real),
        Value::Text(text) => wit::Value::Text(text),
        Value::Blob(bytes) => wit::Value::Blob(bytes),
    }
}
