//! Gives receipts for donations, version 1.0.0: it has the server take the donation, and keeps a numbered receipt of it.
//!
//! Release 1.1.0 of the donations adds it. It keeps state and calls a module that keeps state.

use wasmhot_guest::Stateful;

/// What an upgrade hands over.
#[wasmhot_guest::state]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Number 1 first.
    pub receipts: Vec<Receipt>,
}

/// Who gave what.
#[wasmhot_guest::state]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Receipt {
    /// 1, 2, 3 …, without a gap.
    pub number: u64,
    /// Who.
    pub name: String,
    /// What, before fees.
    pub amount: u64,
}

struct Receipts;

wasmhot_guest::module! {
    name: "receipts",
    world: "receipts",
    exports: Receipts,
    state: State,
    health: check,
}

fn check(state: &State) -> Result<(), String> {
    let numbers = state.receipts.iter().map(|receipt| receipt.number);
    match numbers.zip(1..).find(|(number, expected)| number != expected) {
        None => Ok(()),
        Some((number, expected)) => Err(format!("receipt {number} where {expected} should be")),
    }
}

impl bindings::Guest for Receipts {
    fn issue(name: String, amount: u64) -> Result<u64, String> {
        // No donation, no receipt. Asked before the state is borrowed: a call may take long.
        bindings::donate(&name, amount)?;
        State::with_mut(|state| {
            let number = state.receipts.len() as u64 + 1;
            state.receipts.push(Receipt { number, name, amount });
            Ok(number)
        })
    }

    fn issued() -> u64 {
        State::with(|state| state.receipts.len() as u64)
    }

    fn receipts() -> Vec<String> {
        let describe = |receipt: &Receipt| format!("{}: {} {}", receipt.number, receipt.name, receipt.amount);
        State::with(|state| state.receipts.iter().map(describe).collect())
    }

    fn version() -> String {
        State::VERSION.into()
    }
}
