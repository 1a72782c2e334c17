//! A stateless module that calls others as it is told. For the tests of calls between modules.

mod steps;

struct Front;

wasmhot_guest::module! {
    name: "front",
    world: "front",
    exports: Front,
}

impl bindings::Guest for Front {
    fn run(steps: Vec<String>) -> Result<Vec<String>, String> {
        steps::run(&steps, || bindings::demo::chain::back::hit(1))
    }
}
