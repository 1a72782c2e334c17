//! As 1.0.0, for `back` 2.0.0, which wants a note with each hit: both must move together.

#[path = "../../front-1.0.0/src/steps.rs"]
mod steps;

struct Front;

wasmhot_guest::module! {
    name: "front",
    world: "front",
    exports: Front,
}

impl bindings::Guest for Front {
    fn run(steps: Vec<String>) -> Result<Vec<String>, String> {
        steps::run(&steps, || bindings::demo::chain::back::hit(1, "by front"))
    }
}
