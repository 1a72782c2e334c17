//! The database by itself, natively: transactions are whole, also for one who finds the file after a crash.

use std::fs;
use std::path::Path;

use sqlite_1_0_0::database::{Database, Statement, Value};
use tempfile::TempDir;

fn sql(text: &str) -> Statement {
    with(text, &[])
}

fn with(text: &str, parameters: &[Value]) -> Statement {
    Statement {
        sql: text.into(),
        parameters: parameters.into(),
    }
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// A database with a thousand rows of 1 in it.
fn filled(directory: &TempDir) -> Database {
    let mut database = Database::new(directory.path().join("a.sqlite"));
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO t SELECT i, 1 FROM n";
    database
        .run(&[sql("CREATE TABLE t (id INTEGER PRIMARY KEY, value INTEGER)"), sql(rows)])
        .expect("is filled");
    database
}

fn sum(database: &mut Database) -> Vec<Vec<Value>> {
    database.run(&[sql("SELECT sum(value) FROM t")]).expect("is read")
}

#[test]
fn values_come_back() {
    let mut database = Database::new(directory().path().join("a.sqlite"));
    assert!(database.run(&[]).is_err(), "its directory is gone");

    let directory = directory();
    let mut database = Database::new(directory.path().join("a.sqlite"));
    let values = [
        Value::Null,
        Value::Integer(i64::MIN),
        Value::Real(0.5),
        Value::Text("grüezi".into()),
        Value::Blob(vec![0, 255]),
    ];
    let statements = [
        sql("CREATE TABLE v (a, b, c, d, e)"),
        with("INSERT INTO v VALUES (?1, ?2, ?3, ?4, ?5)", &values),
        sql("SELECT * FROM v"),
    ];
    assert_eq!(database.run(&statements), Ok(vec![values.to_vec()]));
    assert_eq!(database.run(&[]), Ok(vec![]));
}

#[test]
fn a_transaction_that_fails_leaves_nothing() {
    let directory = directory();
    let mut database = filled(&directory);
    let failed = database.run(&[sql("UPDATE t SET value = 2"), sql("INSERT INTO t (id) VALUES (1)")]);
    assert!(failed.is_err_and(|error| error.contains("UNIQUE")));
    assert_eq!(sum(&mut database), [[Value::Integer(1000)]]);
    assert_eq!(database.integrity_check(), Ok("ok".into()));
}

/// What is on the disk in the middle of a transaction is what a kill leaves.
#[test]
fn half_a_transaction_is_rolled_back_by_the_next_owner() {
    let directory = directory();
    let mut database = filled(&directory);
    let crashed = tempfile::tempdir().expect("a directory");
    database
        .run_halfway(&[sql("UPDATE t SET value = 2")], || {
            copy(directory.path(), crashed.path());
        })
        .expect("goes back");
    let changed = |directory: &Path| fs::read(directory.join("a.sqlite")).expect("a file");
    assert!(crashed.path().join("a.sqlite-journal").is_file(), "the journal is hot");
    assert_ne!(
        changed(directory.path()),
        changed(crashed.path()),
        "the pages are in the file"
    );

    let mut next = Database::new(crashed.path().join("a.sqlite"));
    assert_eq!(next.integrity_check(), Ok("ok".into()));
    assert_eq!(sum(&mut next), [[Value::Integer(1000)]]);
    assert_eq!(sum(&mut database), [[Value::Integer(1000)]]);
    assert_eq!(changed(directory.path()), changed(crashed.path()));
}

/// Two owners, one after the other, as around an upgrade: each sees what the other did.
#[test]
fn an_owner_that_comes_back_sees_what_was_done_meanwhile() {
    let directory = directory();
    let mut first = filled(&directory);
    let mut second = Database::new(directory.path().join("a.sqlite"));
    second.run(&[sql("UPDATE t SET value = 3")]).expect("is changed");
    assert_eq!(sum(&mut first), [[Value::Integer(3000)]]);
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("is copied");
    }
}
