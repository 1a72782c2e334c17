//! Plans between random releases, with random appups: what is written leads from the one to the other and back, over edges that fit; and
//! its parts are as small as they can be.

use super::worlds::{Said, said, world};
use super::{Inputs, Plan, joint_sets, plan, split};
use crate::explain::{Direction, Step};
use crate::fixture::{lines, release_of};
use crate::graph::{Graph, Wiring};
use crate::name::ModuleName;
use crate::refusal::RefusalCode;
use crate::relup::{Instruction, Relup};
use crate::upgrade::{CheckOptions, Transition, check, default_moves};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Carries instructions out, one by one: what they do not mention stays.
fn carried_out(graph: &Graph, instructions: &[Instruction], files: &Graph) -> Graph {
    let mut graph = graph.clone();
    for instruction in instructions {
        let module = instruction.module();
        match instruction {
            Instruction::DeleteModule { .. } => drop(graph.nodes.remove(module)),
            Instruction::Call { .. } => {}
            _ => drop(graph.nodes.insert(module.clone(), files.nodes[module].clone())),
        }
    }
    graph
}

fn fits(graph: &Graph, wiring: &Wiring) -> bool {
    wiring.edges().all(|(caller, imported, link)| {
        let wanted = &graph.nodes[caller].interface.imports[imported];
        let offered = &graph.nodes[&link.callee].interface.exports[&link.function];
        wanted.same_as(offered)
    })
}

/// Every import is linked.
fn whole(graph: &Graph, wiring: &Wiring) -> bool {
    let imports = graph
        .nodes
        .iter()
        .flat_map(|(name, node)| node.interface.imports.keys().map(move |import| (name, import)));
    let mut imports = imports;
    imports.all(|(caller, import)| wiring.link(caller.as_str(), import).is_some())
}

fn check_plan(plan: &Plan) -> Result<(), TestCaseError> {
    let (old, new) = (plan.inputs().old.graph(), plan.inputs().new.graph());
    for (way, from, to, instructions) in [
        (&plan.up, &old, &new, &plan.relup.up),
        (&plan.down, &new, &old, &plan.relup.down),
    ] {
        prop_assert_eq!(&carried_out(from, instructions, to), to);
        prop_assert!(fits(to, &way.checked.wiring) && whole(to, &way.checked.wiring));
    }
    // Links belong to the release: they come back too.
    let before = old.resolve_from(&plan.inputs().wiring).0;
    prop_assert_eq!(&plan.down.checked.wiring, &before);
    let text = plan.relup.to_toml().expect("is written");
    let read = Relup::parse("relup.toml", &text);
    prop_assert_eq!(read.as_ref().ok(), Some(&plan.relup), "{}", text);
    for module in &plan.relup.modules {
        prop_assert!(
            module.path.is_some() && module.sha256.is_some() && module.version.is_some() && module.kind.is_some()
        );
    }
    let named = plan
        .relup
        .up
        .iter()
        .filter(|one| !matches!(one, Instruction::DeleteModule { .. }));
    prop_assert!(
        named
            .clone()
            .all(|one| plan.relup.modules.iter().any(|module| module.name == *one.module()))
    );
    Ok(())
}

/// What is suspended is resumed, and all that moves is named.
fn check_steps(plan: &Plan, direction: Direction) -> Result<(), TestCaseError> {
    let way = plan.way(direction);
    let steps = plan.explain(direction);
    let mut named: BTreeSet<&ModuleName> = BTreeSet::new();
    let (mut suspended, mut resumed) = (Vec::new(), Vec::new());
    for step in &steps {
        match step {
            Step::Load(module) | Step::Remove(module) => drop(named.insert(module)),
            Step::Suspend(modules) => suspended.extend(
                modules
                    .iter()
                    .filter(|module| way.transition.new.nodes.contains_key(*module)),
            ),
            Step::Resume(modules) => resumed.extend(modules.iter()),
            _ => {}
        }
    }
    resumed.reverse();
    prop_assert_eq!(suspended, resumed);
    prop_assert_eq!(
        named,
        way.transition
            .moves
            .iter()
            .map(|one| &one.module)
            .collect::<BTreeSet<_>>()
    );
    prop_assert_eq!(steps.iter().filter(|step| **step == Step::PointOfNoReturn).count(), 1);
    Ok(())
}

/// Every proper subset.
fn subsets(of: &BTreeSet<ModuleName>) -> impl Iterator<Item = BTreeSet<ModuleName>> {
    (1..(1_usize << of.len()) - 1).map(move |bits| {
        let chosen = of.iter().enumerate().filter(|(place, _)| bits >> place & 1 == 1);
        chosen.map(|(_, name)| name.clone()).collect()
    })
}

fn moved(graph: &Graph, new: &Graph, part: &BTreeSet<ModuleName>) -> Graph {
    let mut graph = graph.clone();
    for name in part {
        match new.nodes.get(name) {
            Some(node) => drop(graph.nodes.insert(name.clone(), node.clone())),
            None => drop(graph.nodes.remove(name)),
        }
    }
    graph
}

fn check_parts(plan: &Plan) -> Result<(), TestCaseError> {
    let new = plan.inputs().new.graph();
    let mut graph = plan.inputs().old.graph();
    let mut wiring = graph.resolve().0;
    let passes = |graph: &Graph, wiring: &Wiring, part: &BTreeSet<ModuleName>| {
        let next = moved(graph, &new, part);
        let moves = default_moves(graph, &next);
        check(
            &Transition::new(graph.clone(), next, moves),
            wiring,
            &CheckOptions { allow_lossy: true },
        )
    };
    let mut all = BTreeSet::new();
    for part in joint_sets(plan) {
        let checked = passes(&graph, &wiring, &part);
        prop_assert!(checked.is_ok(), "{:?} cannot move", part);
        for fewer in subsets(&part) {
            prop_assert!(
                passes(&graph, &wiring, &fewer).is_err(),
                "{:?} could move without the rest of {:?}",
                fewer,
                part
            );
        }
        graph = moved(&graph, &new, &part);
        wiring = checked.expect("passes").wiring;
        prop_assert!(
            part.iter().all(|name| all.insert(name.clone())),
            "{:?} moves twice",
            part
        );
    }
    prop_assert_eq!(&graph, &new);
    let parts = split(plan).map_err(|refusals| TestCaseError::fail(lines(&refusals)))?;
    let mut at = plan.inputs().old.graph();
    for part in &parts {
        prop_assert_eq!(&part.up.transition.old, &at);
        at = part.up.transition.new.clone();
        check_plan(part)?;
    }
    prop_assert_eq!(at, new);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn r07_a_plan_leads_there_and_back_over_edges_that_fit(world in world(), said in said()) {
        let inputs = world.inputs(&said);
        match plan(&inputs) {
            Ok(plan) => {
                check_plan(&plan)?;
                check_steps(&plan, Direction::Up)?;
                check_steps(&plan, Direction::Down)?;
                check_parts(&plan)?;
            }
            Err(refusals) => {
                // Both releases fit by themselves: only what the appups say can be wrong.
                let expected = [RefusalCode::NoAppupEntry, RefusalCode::BadInstruction];
                prop_assert!(refusals.iter().all(|refusal| expected.contains(&refusal.code)), "{}", lines(&refusals));
                let wrong = |said: &Said| matches!(said, Said::Load | Said::Update | Said::Middle | Said::Other);
                prop_assert!(said.iter().any(wrong), "{}", lines(&refusals));
            }
        }
    }

    #[test]
    fn r22_parts_are_minimal_also_where_several_modules_may_serve_a_function(shapes in crate::drops::tests::shapes()) {
        let (old, candidates) = crate::drops::tests::world(&shapes, true);
        let mut new = old.clone();
        new.nodes.extend(candidates);
        let mut inputs = Inputs::new(release_of("1.0.0", old), release_of("1.1.0", new));
        inputs.options.allow_lossy = true;
        let Ok(plan) = plan(&inputs) else {
            return Ok(());
        };
        // One part may be all there is to find: then the links left no other way.
        if joint_sets(&plan).len() > 1 {
            check_parts(&plan)?;
        }
    }

    #[test]
    fn r22_without_appups_every_plan_exists_and_its_parts_are_minimal(world in world()) {
        let plan = plan(&world.inputs(&[])).map_err(|refusals| TestCaseError::fail(lines(&refusals)))?;
        check_plan(&plan)?;
        check_parts(&plan)?;
    }
}

#[test]
fn random_worlds_are_worth_the_while() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..200 {
        let (world, said) = (world(), said()).new_tree(&mut runner).expect("a world").current();
        let Ok(plan) = plan(&world.inputs(&said)) else {
            *seen.entry("refused").or_default() += 1;
            continue;
        };
        let sets = joint_sets(&plan);
        let via = plan.up.transition.moves.iter().any(|one| !one.via.is_empty());
        let gated = plan.up.checked.gated.len();
        for (what, is) in [
            ("joint", sets.iter().any(|set| set.len() > 1)),
            ("joint by three", sets.iter().any(|set| set.len() > 2)),
            ("several parts", sets.len() > 1),
            ("via", via),
            ("gated together", gated > 1),
        ] {
            *seen.entry(what).or_default() += usize::from(is);
        }
    }
    for what in ["joint", "joint by three", "several parts", "via", "gated together"] {
        assert!(
            seen.get(what).is_some_and(|times| *times >= 3),
            "{what} is hardly tried: {seen:?}"
        );
    }
}
