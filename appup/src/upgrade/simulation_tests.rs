//! Calls and upgrades, simulated: a small model of R20 (stamps), R21 (who passes a gate) and R22 (who is gated), in which trees of calls
//! go on over any number of upgrades. What it shows is P2: no call ever meets a type that it does not fit.

use super::known_tests::open;
use super::open_tests::{Shape, releases, text_of};
use crate::fixture::lines;
use crate::name::ModuleName;
use crate::upgrade::{CheckOptions, Checked, Known, Open, Transition, check, default_moves};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// A started call: its stamp, and its module.
type Frame = (usize, ModuleName);

struct Host {
    revisions: Vec<Open>,
    /// The revision that runs.
    live: usize,
    /// In which revision the instance of a stateful module was made.
    made: BTreeMap<ModuleName, usize>,
    /// Each a stack of calls.
    trees: Vec<Vec<Frame>>,
    /// How many calls went from one module to another, and how many of them on a stamp before the live one.
    calls: (usize, usize),
}

impl Host {
    fn new(revisions: Vec<Open>) -> Self {
        let made = revisions[0].graph.nodes.keys().map(|name| (name.clone(), 0)).collect();
        Self {
            revisions,
            live: 0,
            made,
            trees: Vec::new(),
            calls: (0, 0),
        }
    }

    /// A call from outside, on the live revision. At a closed gate it waits, which is the same as not to have come yet.
    fn start(&mut self, choice: usize, gated: &BTreeSet<ModuleName>) {
        let names: Vec<ModuleName> = self.revisions[self.live].graph.nodes.keys().cloned().collect();
        if let Some(module) = names
            .get(choice % names.len().max(1))
            .filter(|module| !gated.contains(*module))
        {
            let stamp = self.stamp(self.live, self.live, module);
            self.trees.push(vec![(stamp, module.clone())]);
        }
    }

    /// R20: the greater of the caller's stamp and the revision in which the instance was made.
    fn stamp(&self, stamp: usize, revision: usize, module: &ModuleName) -> usize {
        if self.revisions[revision].graph.nodes[module].keeps_state() {
            stamp.max(self.made[module])
        } else {
            stamp
        }
    }

    /// The last call of a tree calls on. `passes`: whether its tree may pass a closed gate (R21).
    fn call(
        &mut self,
        tree: usize,
        choice: usize,
        gated: &BTreeSet<ModuleName>,
        passes: bool,
    ) -> Result<(), TestCaseError> {
        let Some((stamp, caller)) = self.trees[tree].last().cloned() else {
            return Ok(());
        };
        let Open { graph, wiring } = &self.revisions[stamp];
        let links: Vec<_> = wiring.links.get(&caller).into_iter().flatten().collect();
        let Some((imported, link)) = links.get(choice % links.len().max(1)) else {
            return Ok(());
        };
        let callee = &link.callee;
        if gated.contains(callee) && !passes {
            return Ok(());
        }
        let wanted = &graph.nodes[&caller].interface.imports[*imported];
        let revision = if graph.nodes[callee].keeps_state() {
            self.live
        } else {
            stamp
        };
        let offered = self.revisions[revision]
            .graph
            .nodes
            .get(callee)
            .and_then(|node| node.interface.exports.get(*imported));
        prop_assert_eq!(
            offered,
            Some(wanted),
            "{} of revision {} calls {} of revision {}",
            caller,
            stamp,
            callee,
            revision
        );
        let frame = (self.stamp(stamp, revision, callee), callee.clone());
        self.calls.0 += 1;
        self.calls.1 += usize::from(stamp < self.live);
        if self.trees[tree].len() < 8 {
            self.trees[tree].push(frame);
        }
        Ok(())
    }

    fn check(&self) -> Result<Checked, TestCaseError> {
        let (old, new) = (&self.revisions[self.live], &self.revisions[self.live + 1]);
        let moves = default_moves(&old.graph, &new.graph);
        let known = Known {
            open: self.revisions[..self.live].to_vec(),
            ..Known::default()
        };
        let transition = Transition::new(old.graph.clone(), new.graph.clone(), moves).knowing(known);
        let checked = check(&transition, &old.wiring, &CheckOptions::default());
        checked.map_err(|refusals| TestCaseError::fail(lines(&refusals)))
    }

    /// One upgrade: the gates close; whoever has a started call inside goes on to its end, all others wait there; the switch.
    fn upgrade(&mut self, choices: &[usize]) -> Result<(), TestCaseError> {
        let gated = self.check()?.gated;
        let inside = |tree: &[Frame]| tree.iter().any(|(_, module)| gated.contains(module));
        for choice in choices {
            let trees = self.trees.len();
            match choice % 3 {
                0 => self.start(choice / 3, &gated),
                _ if trees == 0 => {}
                _ => {
                    let tree = choice / 3 % trees;
                    let passes = inside(&self.trees[tree]);
                    self.call(tree, choice / 7, &gated, passes)?;
                }
            }
        }
        self.trees.retain(|tree| !inside(tree));
        let (old, new) = (&self.revisions[self.live].graph, &self.revisions[self.live + 1].graph);
        for one in default_moves(old, new) {
            self.made.insert(one.module, self.live + 1);
        }
        self.live += 1;
        Ok(())
    }

    fn step(&mut self, choice: usize, more: &[usize]) -> Result<(), TestCaseError> {
        let none = BTreeSet::new();
        let trees = self.trees.len();
        match choice % 8 {
            0 | 1 => self.start(choice / 8, &none),
            2 if self.live + 1 < self.revisions.len() => self.upgrade(more)?,
            3 if trees > 0 => drop(self.trees[choice / 8 % trees].pop()),
            _ if trees > 0 => self.call(choice / 8 % trees, choice / 64, &none, true)?,
            _ => {}
        }
        self.trees.retain(|tree| !tree.is_empty());
        Ok(())
    }
}

fn run(kinds: &[&str], shapes: &[Vec<Shape>], choices: &[usize]) -> Result<(usize, usize), TestCaseError> {
    let mut host = Host::new(shapes.iter().map(|release| open(&text_of(kinds, release))).collect());
    for (place, choice) in choices.iter().enumerate() {
        let more = &choices[place + 1..choices.len().min(place + 12)];
        host.step(*choice, more)?;
    }
    while host.live + 1 < host.revisions.len() {
        host.upgrade(choices)?;
    }
    // Whoever is still there goes on after the last switch.
    for choice in choices
        .iter()
        .filter(|_| !host.trees.is_empty())
        .copied()
        .collect::<Vec<_>>()
    {
        let trees = host.trees.len();
        host.call(choice % trees, choice / 8, &BTreeSet::new(), true)?;
    }
    Ok(host.calls)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn r20_r21_r22_p2_no_call_ever_meets_a_type_that_it_does_not_fit((kinds, shapes) in releases(), choices in prop::collection::vec(0..100_000_usize, 0..80)) {
        run(&kinds, &shapes, &choices)?;
    }
}

#[test]
fn the_simulation_makes_calls_on_old_stamps() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = (releases(), prop::collection::vec(0..100_000_usize, 60..80));
    let (mut calls, mut late) = (0, 0);
    for _ in 0..200 {
        let ((kinds, shapes), choices) = strategy.new_tree(&mut runner).expect("a world").current();
        let made = run(&kinds, &shapes, &choices).expect("fits");
        (calls, late) = (calls + made.0, late + made.1);
    }
    assert!(calls > 1000 && late > 200, "{calls} calls, {late} of them late");
}
