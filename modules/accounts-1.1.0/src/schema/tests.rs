//! The steps on a real database, run natively.

use std::cell::RefCell;

use rusqlite_value::{ours, theirs};
use sqlite_1_0_0::database::Database;
use tempfile::TempDir;

use super::*;

struct World {
    database: RefCell<Database>,
    _directory: TempDir,
}

impl World {
    fn empty() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self {
            database: RefCell::new(Database::new(directory.path().join("a.sqlite"))),
            _directory: directory,
        }
    }

    /// As 1.0.0 left it: accounts `1` to `250`, each with as many cents.
    fn of_1_0() -> Self {
        let world = Self::empty();
        let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250)
                    INSERT INTO account SELECT i, i FROM n";
        all(&|statements| world.run(statements), &[OLD_TABLE], &[rows]).expect("is filled");
        world
    }

    fn run(&self, statements: &[Statement]) -> Result<Rows, String> {
        let statements: Vec<_> = statements.iter().map(theirs).collect();
        let rows = self.database.borrow_mut().run(&statements)?;
        Ok(rows
            .into_iter()
            .map(|row| row.into_iter().map(ours).collect())
            .collect())
    }

    fn does(&self, step: fn(Run<'_>) -> Result<(), String>) -> Result<(), String> {
        step(&|statements| self.run(statements))
    }

    fn must(&self, step: fn(Run<'_>) -> Result<(), String>) {
        self.does(step).expect("a step");
    }

    fn sql(&self, text: &str) -> Option<u64> {
        number(&self.run(&[sql(text, &[])]).expect(text))
    }

    fn schema(&self) -> String {
        describe(&|statements| self.run(statements)).expect("a schema")
    }
}

#[test]
fn all_the_way_up_and_down_twice() {
    let world = World::of_1_0();
    for _ in 0..2 {
        assert_eq!(world.schema(), "cents");
        world.must(expand);
        assert_eq!(world.schema(), "both");
        world.must(contract);
        assert_eq!(world.schema(), "micros");
        assert_eq!(world.sql("SELECT sum(micros) FROM account"), Some(31_375 * 10_000));
        world.must(undo_contract);
        assert_eq!(world.schema(), "both");
        world.must(undo_expand);
    }
    assert_eq!(world.sql("SELECT sum(cents) FROM account"), Some(31_375));
    assert_eq!(world.database.borrow_mut().integrity_check(), Ok("ok".into()));
}

#[test]
fn a_step_may_be_called_again() {
    let world = World::of_1_0();
    world.must(undo_expand);
    for step in [expand, contract, undo_contract, undo_expand] {
        world.must(step);
        let schema = world.schema();
        world.must(step);
        assert_eq!(world.schema(), schema);
    }
}

#[test]
fn a_step_out_of_order_says_which_comes_first() {
    let world = World::of_1_0();
    let refused = world.does(contract);
    assert!(refused.is_err_and(|error| error.contains("expand comes first")));
    world.must(expand);
    world.must(contract);
    let refused = world.does(undo_expand);
    assert!(refused.is_err_and(|error| error.contains("undo-contract comes first")));
    world.must(expand);
    assert_eq!(world.schema(), "micros", "expanded is what it is");
}

/// Cut off in the middle: what is there can be used, finished, or undone.
#[test]
fn half_an_expansion_can_be_finished_or_undone() {
    for finish in [expand, undo_expand] {
        let world = World::of_1_0();
        world.must(add_column);
        assert_eq!(copy(&|statements| world.run(statements), 70), Ok(70));
        assert_eq!(world.schema(), "copying 180");
        assert!(world.does(contract).is_err());
        // One that is copied, one that is not yet.
        for name in [1, 250] {
            world.sql(&format!("UPDATE account SET cents = cents + 5 WHERE name = '{name}'"));
        }
        world.must(finish);
        assert_eq!(world.sql("SELECT sum(cents) FROM account"), Some(31_385));
        if world.schema() == "both" {
            assert_eq!(world.sql("SELECT sum(micros) FROM account"), Some(31_385 * 10_000));
        }
    }
}

#[test]
fn both_versions_see_what_either_does() {
    let world = World::of_1_0();
    world.must(expand);
    world.sql("INSERT INTO account (name) VALUES ('by 1.0')");
    world.sql("INSERT INTO account (name, micros) VALUES ('by 1.1', 0)");
    for name in ["by 1.0", "by 1.1"] {
        // 0.5 cents, which 1.0 does not see, and which must not get lost when it adds 7.
        world.sql(&format!(
            "UPDATE account SET micros = micros + 5000 WHERE name = '{name}'"
        ));
        world.sql(&format!("UPDATE account SET cents = cents + 7 WHERE name = '{name}'"));
        world.sql(&format!(
            "UPDATE account SET micros = micros + 15000 WHERE name = '{name}'"
        ));
        assert_eq!(
            world.sql(&format!("SELECT micros FROM account WHERE name = '{name}'")),
            Some(90_000)
        );
        assert_eq!(
            world.sql(&format!("SELECT cents FROM account WHERE name = '{name}'")),
            Some(9)
        );
    }
    world.sql("INSERT INTO account (name, micros) VALUES ('rich', 12345678)");
    assert_eq!(world.sql("SELECT cents FROM account WHERE name = 'rich'"), Some(1234));
    assert_eq!(
        world.sql("SELECT count(*) FROM account WHERE micros IS NULL OR micros / 10000 <> cents"),
        Some(0)
    );
}

#[test]
fn a_database_without_a_table_goes_along() {
    let world = World::empty();
    for step in [undo_expand, contract, undo_contract] {
        world.must(step);
        assert_eq!(world.schema(), "none");
    }
    world.must(expand);
    assert_eq!(world.schema(), "both");
}

#[test]
fn a_failure_at_the_end_leaves_nothing_of_the_rest() {
    let world = World::of_1_0();
    let mut statements = expand_at_once(&|statements| world.run(statements)).expect("statements");
    statements.push(sql("INSERT INTO nowhere VALUES (1)", &[]));
    assert!(world.run(&statements).is_err_and(|error| error.contains("nowhere")));
    assert_eq!(world.schema(), "cents");
    statements.pop();
    world.run(&statements).expect("goes");
    assert_eq!(world.schema(), "both");
}

/// The one type in two crates.
mod rusqlite_value {
    use sqlite_1_0_0::database;
    use sqlite_1_0_0::database::Value as Theirs;

    use crate::table::{Statement, Value};

    pub(super) fn theirs(statement: &Statement) -> database::Statement {
        let value = |value: &Value| match value {
            Value::Null => Theirs::Null,
            Value::Integer(integer) => Theirs::Integer(*integer),
            Value::Real(real) => Theirs::Real(*real),
            Value::Text(text) => Theirs::Text(text.clone()),
            Value::Blob(bytes) => Theirs::Blob(bytes.clone()),
        };
        database::Statement {
            sql: statement.sql.clone(),
            parameters: statement.parameters.iter().map(value).collect(),
        }
    }

    pub(super) fn ours(value: Theirs) -> Value {
        match value {
            Theirs::Null => Value::Null,
            Theirs::Integer(integer) => Value::Integer(integer),
            Theirs::Real(real) => Value::Real(real),
            Theirs::Text(text) => Value::Text(text),
            Theirs::Blob(bytes) => Value::Blob(bytes),
        }
    }
}
