//! The fee of a donation, version 1.1.0: it asks for the currency. A caller of 1.0.0 no longer fits; both must move together.

struct Calculator;

wasmhot_guest::module! {
    name: "calculator",
    world: "calculator-module",
    exports: Calculator,
}

impl bindings::exports::donations::app::calculator::Guest for Calculator {
    fn calculate(amount: u64, currency: String) -> u64 {
        let per_mille = if currency == "EUR" { 50 } else { 70 };
        amount / 1000 * per_mille + amount % 1000 * per_mille / 1000
    }
}
