//! The fee of a donation, version 1.0.0: five of a hundred.

struct Calculator;

wasmhot_guest::module! {
    name: "calculator",
    world: "calculator-module",
    exports: Calculator,
}

impl bindings::exports::donations::app::calculator::Guest for Calculator {
    fn calculate(amount: u64) -> u64 {
        amount / 20
    }
}
