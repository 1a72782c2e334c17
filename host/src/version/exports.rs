//! The functions of a version that can be called: by name, as people type them, and by place.

use std::collections::HashMap;
use std::sync::Arc;
use wasmhot_appup::interface::{FunctionName, FunctionType, ModuleInterface};
use wasmtime::component::ComponentExportIndex;

/// A function that can be called.
#[derive(Debug)]
pub struct Export {
    /// Its name.
    pub name: FunctionName,
    /// Its signature.
    pub ty: Arc<FunctionType>,
    /// Its place in the component, for lookups without a name.
    pub index: ComponentExportIndex,
    /// Its place among the functions of its version.
    pub(crate) slot: usize,
    /// Whether this is the `main` of a program: it runs once in an instance.
    pub(crate) is_main: bool,
}

/// The functions of a version, sorted by name.
#[derive(Clone, Debug)]
pub struct Exports {
    sorted: Arc<[Arc<Export>]>,
    /// Every way to name one of them that means no other.
    spelled: Arc<HashMap<String, usize>>,
}

impl Exports {
    /// Those functions of `interface` that values can be built for and that `place` finds.
    pub(super) fn new(
        interface: &ModuleInterface,
        place: impl Fn(&FunctionName) -> Option<ComponentExportIndex>,
    ) -> Self {
        let can_be_called = interface.exports.iter().filter(|(_, ty)| !ty.cannot_cross());
        let found = can_be_called.filter_map(|(name, ty)| Some((name, ty, place(name)?)));
        let sorted: Arc<[_]> = found
            .enumerate()
            .map(|(slot, (name, ty, index))| {
                Arc::new(Export {
                    name: name.clone(),
                    ty: Arc::new(ty.clone()),
                    index,
                    slot,
                    is_main: is_main(name),
                })
            })
            .collect();
        let mut spelled = HashMap::new();
        for export in sorted.iter() {
            for typed in spellings(&export.name) {
                let meant = interface.find_exports(&typed);
                let callable = |name: &&FunctionName| interface.exports.get(name).is_some_and(|ty| !ty.cannot_cross());
                if meant.into_iter().filter(callable).eq([&export.name]) {
                    spelled.insert(typed, export.slot);
                }
            }
        }
        Self {
            sorted,
            spelled: Arc::new(spelled),
        }
    }

    /// The function of this name.
    #[must_use]
    pub fn get(&self, name: &FunctionName) -> Option<&Arc<Export>> {
        let slot = self.sorted.binary_search_by(|export| export.name.cmp(name)).ok()?;
        self.sorted.get(slot)
    }

    /// The function that a text means, in one of the usual ways to name it.
    #[must_use]
    pub fn named(&self, typed: &str) -> Option<&Arc<Export>> {
        self.sorted.get(*self.spelled.get(typed)?)
    }

    /// The function at this place.
    pub(crate) fn at(&self, slot: usize) -> Option<&Arc<Export>> {
        self.sorted.get(slot)
    }

    /// The function of the same name, which mostly is this one itself.
    pub(crate) fn like(&self, other: &Arc<Export>) -> Option<&Arc<Export>> {
        match self.sorted.get(other.slot) {
            Some(export) if Arc::ptr_eq(export, other) => Some(export),
            _ => self.get(&other.name),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Export>> {
        self.sorted.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// True if nothing can be called.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }
}

fn is_main(name: &FunctionName) -> bool {
    let interface = name.interface.as_deref().unwrap_or_default();
    name.name == "run" && (interface == "wasi:cli/run" || interface.starts_with("wasi:cli/run@"))
}

/// `place`; with an interface also `orders.place`, `demo:shop/orders.place` and `demo:shop/orders@1.0.0.place`.
fn spellings(name: &FunctionName) -> Vec<String> {
    let function = &name.name;
    let mut all = vec![function.clone()];
    if let Some(full) = &name.interface {
        let unversioned = full.split('@').next().unwrap_or(full);
        let last = unversioned.rsplit('/').next().unwrap_or(unversioned);
        all.extend([full, unversioned, last].map(|interface| format!("{interface}.{function}")));
    }
    all
}
