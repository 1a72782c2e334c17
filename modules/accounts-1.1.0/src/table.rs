//! Statements and rows, as the owner of the database takes and gives them.

pub(crate) use crate::bindings::demo::sqlite::database::{Statement, Value};

pub(crate) type Rows = Vec<Vec<Value>>;
/// Carries out a transaction: the database's `run`.
pub(crate) type Run<'r> = &'r dyn Fn(&[Statement]) -> Result<Rows, String>;

pub(crate) const MICROS_PER_CENT: u64 = 10_000;

pub(crate) fn sql(sql: &str, parameters: &[Value]) -> Statement {
    Statement {
        sql: sql.into(),
        parameters: parameters.into(),
    }
}

/// The number in the first row, if there is one.
pub(crate) fn number(rows: &[Vec<Value>]) -> Option<u64> {
    match rows.first()?.first()? {
        Value::Integer(integer) => u64::try_from(*integer).ok(),
        Value::Null | Value::Real(_) | Value::Text(_) | Value::Blob(_) => None,
    }
}
