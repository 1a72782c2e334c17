//! Random releases and appups, for tests.

use super::{Inputs, PlanModule};
use crate::fixture::{name, release};
use proptest::prelude::*;

const MODULES: usize = 7;
const FUNCTIONS: usize = 2;

/// What a module is in one release: whether it is there, the types of its functions (0 is none), what it imports.
type Shape = (bool, [u8; FUNCTIONS], [[bool; FUNCTIONS]; MODULES]);

#[derive(Clone, Debug)]
pub(super) struct World {
    kinds: Vec<&'static str>,
    old: Vec<Shape>,
    new: Vec<Shape>,
    /// How many modules there are.
    size: usize,
}

/// What an appup says, for each module.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said {
    Nothing,
    Default,
    Update,
    Load,
    Restart,
    /// Only of a middle version, which there is.
    Middle,
    /// Only of a middle version, which there is not.
    Other,
}

fn shape() -> impl Strategy<Value = Shape> {
    let exported = prop_oneof![1 => Just(0_u8), 5 => Just(1), 2 => Just(2)];
    let imports = prop::array::uniform7(prop::array::uniform2(prop::bool::weighted(0.25)));
    (prop::bool::weighted(0.9), prop::array::uniform2(exported), imports)
}

pub(super) fn world() -> impl Strategy<Value = World> {
    let kind = prop_oneof![4 => Just("pool"), 2 => Just("single"), 1 => Just("keyed")];
    let pair = (shape(), shape(), prop::bool::weighted(0.4));
    (
        prop::collection::vec(kind, MODULES),
        prop::collection::vec(pair, MODULES),
        1..=MODULES,
    )
        .prop_map(|(kinds, pairs, size)| {
            let old: Vec<Shape> = pairs.iter().map(|pair| pair.0).collect();
            let new = pairs.iter().map(|(old, new, stays)| if *stays { *old } else { *new });
            World {
                kinds,
                new: new.collect(),
                old,
                size,
            }
        })
}

pub(super) fn said() -> impl Strategy<Value = Vec<Said>> {
    let said = prop_oneof![
        6 => Just(Said::Nothing),
        3 => Just(Said::Default),
        3 => Just(Said::Update),
        1 => Just(Said::Load),
        1 => Just(Said::Restart),
        1 => Just(Said::Middle),
        1 => Just(Said::Other),
    ];
    prop::collection::vec(said, MODULES)
}

impl World {
    /// A module imports from later ones, and pools that are neighbours may import from each other: so no circle holds state.
    fn may_import(&self, caller: usize, callee: usize) -> bool {
        callee > caller || (callee + 1 == caller && self.kinds[caller] == "pool" && self.kinds[callee] == "pool")
    }

    fn body(&self, shapes: &[Shape], place: usize) -> String {
        let of = |number: u8| if number == 1 { "u32" } else { "u64" };
        let mut text = String::from("+");
        for (function, number) in shapes[place].1.iter().enumerate().filter(|(_, number)| **number > 0) {
            text.push_str(&format!(" m{place}f{function}(string,{})", of(*number)));
        }
        text.push_str(" -");
        for callee in (0..self.size).filter(|callee| self.may_import(place, *callee) && shapes[*callee].0) {
            for function in (0..FUNCTIONS).filter(|function| shapes[place].2[callee][*function]) {
                let number = shapes[callee].1[function];
                if number > 0 {
                    text.push_str(&format!(" m{callee}f{function}(string,{})", of(number)));
                }
            }
        }
        text
    }

    /// The modules of one release. Whatever differs has another version.
    fn text(&self, shapes: &[Shape], version: &str) -> String {
        let there = (0..self.size).filter(|place| shapes[*place].0);
        let line = |place: usize| {
            let (old, body) = (self.body(&self.old, place), self.body(shapes, place));
            let version = if self.old[place].0 && old == body {
                "1.0.0"
            } else {
                version
            };
            format!("m{place} {} {version} {body}\n", self.kinds[place])
        };
        there.map(line).collect()
    }

    pub(super) fn inputs(&self, said: &[Said]) -> Inputs {
        let mut inputs = Inputs::new(
            release("1.0.0", &self.text(&self.old, "1.0.0")),
            release("1.1.0", &self.text(&self.new, "1.2.0")),
        );
        for (place, said) in said.iter().enumerate() {
            let module = name(&format!("m{place}"));
            let (Some(after), true) = (
                inputs.new.modules.get_mut(&module),
                inputs.old.modules.contains_key(&module),
            ) else {
                continue;
            };
            let (range, verb) = match said {
                Said::Nothing => continue,
                Said::Default => ("~1.0", None),
                Said::Update => ("1.0.0", Some("update")),
                Said::Load => ("*", Some("load_module")),
                Said::Restart => ("*", Some("restart_module")),
                Said::Middle | Said::Other => ("1.1.0", None),
            };
            let verb = verb.map(|verb| format!("{verb} = \"{module}\"\n")).unwrap_or_default();
            let text = format!(
                "format = 1\nmodule = \"{module}\"\n[[up]]\nfrom = \"{range}\"\n{verb}[[down]]\nto = \"{range}\"\n{verb}"
            );
            after.appup = Some(crate::Appup::parse("a.appup.toml", &text).expect("an appup"));
            if matches!(said, Said::Middle) {
                inputs.middle.push(self.middle(place));
            }
        }
        inputs
    }

    fn middle(&self, place: usize) -> PlanModule {
        let module = name(&format!("m{place}"));
        let text = format!("{module} {} 1.1.0 {}", self.kinds[place], self.body(&self.old, place));
        let mut middle = release("1.0.0", &text).modules.remove(&module).expect("is there");
        let text = format!("format = 1\nmodule = \"{module}\"\n[[up]]\nfrom = \"1.0.0\"\n[[down]]\nto = \"1.0.0\"");
        middle.appup = Some(crate::Appup::parse("a.appup.toml", &text).expect("an appup"));
        middle
    }
}
