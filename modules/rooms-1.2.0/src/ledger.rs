//! Who called how often: it takes the numbers 1, 2, 3 … of each client, and refuses gaps and repeats.
//!
//! Tests count with it that no call is lost or run twice over an upgrade.

use std::collections::BTreeMap;

/// The calls that were counted.
#[wasmhot_guest::state]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    /// Of all clients.
    pub total: u64,
    /// The last number of each.
    pub clients: BTreeMap<String, u64>,
}

impl Ledger {
    /// Takes the next number of a client, and gives the total.
    ///
    /// # Errors
    /// If it is not the next one.
    pub fn record(&mut self, client: String, sequence: u64) -> Result<u64, String> {
        let expected = self.last(&client) + 1;
        if sequence != expected {
            return Err(format!("{client}: expected {expected}, got {sequence}"));
        }
        self.clients.insert(client, sequence);
        self.total += 1;
        Ok(self.total)
    }

    /// The last number of a client, 0 before its first.
    #[must_use]
    pub fn last(&self, client: &str) -> u64 {
        self.clients.get(client).copied().unwrap_or(0)
    }
}
