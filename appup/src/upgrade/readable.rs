//! Whether the states that a move takes over can be read (R4), and whether all of them arrives (R30).
//!
//! With `reads(x, y)` true if `x` describes no state, reads what `y` wrote, or `y` can write for `x` (R2):
//! - a version that takes a state must read it, or the last of its middle versions (`via`) must be able to read it, itself or
//!   through those before it, and each after it must read the one before;
//! - of whom: of the version that runs; and of every version that has written saved states, where those are what is taken: of keys
//!   that sleep, of a module that comes back, or because the move says so. These may also go through any version that is to be had.

use super::check::Findings;
use super::{Action, CheckOptions, Move, Saved, Transition};
use crate::description::StateDescription;
use crate::name::{Digest, ModuleName, ModuleVersion, Version};
use crate::refusal::{Refusal, RefusalCode};
use crate::relup::StatePolicy;
use crate::settings::Kind;

/// Checks one move, whose module runs where the action says.
pub(super) fn check(transition: &Transition, one: &Move, options: CheckOptions, findings: &mut Findings) {
    let Some(after) = transition.new.nodes.get(&one.module).filter(|node| node.keeps_state()) else {
        return;
    };
    let gives_up = matches!(one.state, Some(StatePolicy::Empty | StatePolicy::Discard));
    let takes = matches!(one.action, Action::Update | Action::Add) && !gives_up;
    let Some(state) = transition.known.state_of(after).filter(|_| takes) else {
        return;
    };
    let reader = Reader {
        transition,
        one,
        version: &after.version,
        state,
        keeps_keys: after.kind == Kind::Keyed,
    };
    for source in sources(one) {
        let runs = transition.old.nodes.get(source).filter(|node| node.keeps_state());
        if let Some(running) = runs {
            if reader.reads(&running.version) {
                reader.check_fields(&running.version, options, findings);
            } else {
                findings.refusals.push(reader.refuse(&running.version));
            }
        }
        let takes_saved =
            runs.is_none_or(|running| running.kind == Kind::Keyed) || one.state == Some(StatePolicy::LastSaved);
        let saved = transition.known.saved_of(source).filter(|_| takes_saved);
        for saved in saved.filter(|saved| runs.is_none_or(|running| running.version != saved.version)) {
            if !reader.reads_saved(&saved.version) {
                reader.check_saved(saved, options, findings);
            }
        }
    }
}

/// The modules whose state it takes. One that is added takes up what was kept under its name.
fn sources(one: &Move) -> Vec<&ModuleName> {
    if one.state_from.is_empty() {
        vec![&one.module]
    } else {
        one.state_from.iter().collect()
    }
}

/// The version that takes a state.
struct Reader<'t> {
    transition: &'t Transition,
    one: &'t Move,
    version: &'t ModuleVersion,
    state: &'t StateDescription,
    keeps_keys: bool,
}

impl Reader<'_> {
    fn reads(&self, writer: &ModuleVersion) -> bool {
        self.transition.known.reads(self.version, writer) || self.reads_via(writer)
    }

    /// True if the state can enter the chain of middle versions somewhere, and gets through from there. A middle version of which
    /// nothing is known may read anything: that was seen to when the chain was made.
    fn reads_via(&self, writer: &ModuleVersion) -> bool {
        let known = &self.transition.known;
        let chain: Vec<ModuleVersion> = self.one.via.iter().map(|via| self.middle(&via.version)).collect();
        let connected = chain.windows(2).all(|pair| known.reads(&pair[1], &pair[0]));
        let ends = chain.last().is_some_and(|last| known.reads(self.version, last));
        let is_it = |middle: &ModuleVersion| {
            middle.name == writer.name && middle.version.cmp_precedence(&writer.version).is_eq()
        };
        let begins = chain.iter().any(|middle| is_it(middle) || known.reads(middle, writer));
        begins && connected && ends
    }

    fn reads_saved(&self, writer: &ModuleVersion) -> bool {
        // What others have left is read directly, or not at all.
        let is_own = self.one.state_from.is_empty();
        self.reads(writer) || is_own && self.transition.known.way(self.version, writer).is_some()
    }

    /// Saved states that nobody can read: of keys, these may be given up one by one (R33); the one state of a module may not.
    fn check_saved(&self, saved: &Saved, options: CheckOptions, findings: &mut Findings) {
        let (module, writer) = (&self.version.name, &saved.version);
        let is_keyed = self.keeps_keys;
        let what = match (is_keyed, saved.states) {
            (false, _) => format!("a saved state, that of {writer}"),
            (true, 1) => format!("the saved state of 1 key, which {writer} has written"),
            (true, keys) => format!("the saved states of {keys} keys, which {writer} has written"),
        };
        let reads = self.state.shown_reads();
        let cannot = format!(
            "`{module}` {} cannot read {what}: it reads {reads}, and no version that is to be had leads there",
            self.version.version
        );
        if is_keyed && options.allow_lossy {
            findings.lossy.push(cannot);
            findings.given_up.push(saved.clone());
            return;
        }
        let or = if is_keyed {
            "allow with `--allow-lossy` that these keys answer `key-not-migrated`"
        } else {
            "begin without the state: `state = \"empty\"`"
        };
        let remedy = format!(
            "let `{module}` read {}, name a version between them with its file (`[[middle]]`), or {or}",
            writer.version
        );
        let refusal = Refusal::new(RefusalCode::StateUnreadable, &[module], cannot + ".", remedy);
        findings.refusals.push(refusal);
    }

    fn middle(&self, version: &Version) -> ModuleVersion {
        let name = &self.version.name;
        let mut known = self.transition.known.middle.iter();
        let same = |middle: &&ModuleVersion| middle.name == *name && middle.version == *version;
        known.find(same).cloned().unwrap_or_else(|| ModuleVersion {
            name: name.clone(),
            version: version.clone(),
            digest: Digest::from_bytes([0; 32]),
        })
    }

    fn refuse(&self, writer: &ModuleVersion) -> Refusal {
        let module = &self.version.name;
        let message = format!(
            "`{module}` {} cannot read the state of {writer} (the running version): it reads {}.",
            self.version.version,
            self.state.shown_reads()
        );
        let remedy = format!(
            "let `{module}` read {}, go there by a middle version (`via`), or begin without the state: `state = \"empty\"`",
            writer.version
        );
        let modules: Vec<&ModuleName> = std::iter::once(module)
            .chain((writer.name != *module).then_some(&writer.name))
            .collect();
        Refusal::new(RefusalCode::StateUnreadable, &modules, message, remedy)
    }

    /// A field that is gone, where nobody says that this is meant, is lost. A conversion says so; a chain has its own.
    fn check_fields(&self, writer: &ModuleVersion, options: CheckOptions, findings: &mut Findings) {
        let Some(before) = self.transition.known.states.get(&writer.digest) else {
            return;
        };
        let says_so = self.state.converts(self.version, writer)
            || before.can_write_for(writer, self.version)
            || !self.one.via.is_empty()
            || writer.name != self.version.name
            || writer.digest == self.version.digest;
        let lost = before.fields_lost_in(self.state);
        if says_so || lost.is_empty() {
            return;
        }
        let module = &self.version.name;
        let fields: Vec<String> = lost.iter().map(|field| format!("`{field}`")).collect();
        let fields = fields.join(", ");
        let what = |the: &str| {
            format!(
                "{the} state of `{module}` loses {fields}: {} has no such field, and reads {} as its own format",
                self.version.version, writer.version
            )
        };
        if options.allow_lossy {
            findings.lossy.push(what("the"));
            return;
        }
        let message = what("The") + ".";
        let remedy = format!(
            "give {} an entry in `reads` of its own with a conversion, or allow it with `--allow-lossy`",
            writer.version
        );
        findings
            .refusals
            .push(Refusal::new(RefusalCode::Lossy, &[module], message, remedy));
    }
}
