//! A database file, opened by its first transaction, and nothing that knows of Wasm.
//!
//! Under WASI there are no file locks. So there must be one owner: no two instances may have transactions at the same time. In turn the
//! owner takes nothing for granted between two transactions: with SQLite's normal locking mode it looks each time whether the file has
//! changed, and whether a journal is left of a transaction that somebody did not live to end, which it then rolls back.

use std::path::{Path, PathBuf};

pub use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, Transaction, params_from_iter};

/// One statement and its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// With `?1`, `?2` … for parameters.
    pub sql: String,
    /// As many as it has.
    pub parameters: Vec<Value>,
}

/// The rows of a query.
pub type Rows = Vec<Vec<Value>>;

/// The file, open or not yet.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    connection: Option<Connection>,
}

impl Database {
    /// Does not touch the file yet: at the start of an instance files may be out of reach, or another's.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().into(),
            connection: None,
        }
    }

    /// Carries out all statements or none, and gives the rows of the last one.
    ///
    /// # Errors
    /// What SQLite says to the first that fails.
    pub fn run(&mut self, statements: &[Statement]) -> Result<Rows, String> {
        self.attempt(|connection| {
            let transaction = connection.transaction()?;
            let rows = execute(&transaction, statements)?;
            transaction.commit()?;
            Ok(rows)
        })
    }

    /// Carries out the statements, brings the changed pages into the file, and calls `inside`, before anything is committed. If that
    /// comes back, the transaction is rolled back.
    ///
    /// # Errors
    /// As [`Database::run`].
    pub fn run_halfway(&mut self, statements: &[Statement], inside: impl FnOnce()) -> Result<(), String> {
        self.attempt(|connection| {
            let transaction = connection.transaction()?;
            execute(&transaction, statements)?;
            transaction.cache_flush()?;
            inside();
            transaction.rollback()
        })
    }

    /// What SQLite finds wrong with the file: `ok` if nothing.
    ///
    /// # Errors
    /// If it cannot even be read.
    pub fn integrity_check(&mut self) -> Result<String, String> {
        self.attempt(|connection| {
            let mut check = connection.prepare("PRAGMA integrity_check")?;
            let lines = check.query_map([], |row| row.get(0))?;
            let lines: Vec<String> = lines.collect::<rusqlite::Result<_>>()?;
            Ok(lines.join("\n"))
        })
    }

    fn attempt<T>(&mut self, act: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, String> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            closed @ None => {
                let opened = open(&self.path).map_err(|error| format!("{}: {error}", self.path.display()))?;
                closed.insert(opened)
            }
        };
        act(connection).map_err(|error| error.to_string())
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    // No locks, where there are none to be had.
    let connection = Connection::open_with_flags_and_vfs(path, flags, c"unix-none")?;
    // A journal that is deleted at the commit: no shared memory as a write-ahead log needs it. Temporary tables stay in memory, for
    // there is no directory for them.
    connection.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;")?;
    Ok(connection)
}

fn execute(transaction: &Transaction<'_>, statements: &[Statement]) -> rusqlite::Result<Rows> {
    let mut rows = Rows::new();
    for statement in statements {
        rows = query(transaction, statement)?;
    }
    Ok(rows)
}

/// Whatever the statement is: one that gives no rows gives none.
fn query(transaction: &Transaction<'_>, statement: &Statement) -> rusqlite::Result<Rows> {
    let mut prepared = transaction.prepare(&statement.sql)?;
    let columns = prepared.column_count();
    let mut found = prepared.query(params_from_iter(&statement.parameters))?;
    let mut rows = Rows::new();
    while let Some(row) = found.next()? {
        rows.push(
            (0..columns)
                .map(|column| row.get(column))
                .collect::<rusqlite::Result<_>>()?,
        );
    }
    Ok(rows)
}
