//! Sessions against a model: whatever happens in between, what arrives is the state as it stood.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::accepted::Accepted;
use super::session::Session;
use crate::{Change, Direction, Stateful};

/// What a state is, whatever its version.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    entries: BTreeMap<String, u32>,
    log: Vec<u32>,
    setting: u32,
    total: u64,
}

/// What may happen to a state.
#[derive(Clone, Debug)]
enum Act {
    Insert(u8, u32),
    Update(u8, u32),
    Remove(u8),
    Clear,
    Push(u32),
    SetFirst(u32),
    Pop,
    ClearLog,
    Set(u32),
    Count,
}

/// What may happen in a hand-over.
#[derive(Clone, Debug)]
enum Step {
    Act(Act),
    Next(u32),
    Changes,
    /// It is called off, and begun again.
    Again,
    /// It is ended, and the next begun, to the other version or to the same.
    HandOver(bool),
}

impl Act {
    fn on_model(&self, model: &mut Model) {
        match *self {
            Self::Insert(key, value) => {
                model.entries.insert(name(key), value);
            }
            Self::Update(key, value) => {
                if let Some(known) = model.entries.get_mut(&name(key)) {
                    *known = value;
                }
            }
            Self::Remove(key) => {
                model.entries.remove(&name(key));
            }
            Self::Clear => model.entries.clear(),
            Self::Push(value) => model.log.push(value),
            Self::SetFirst(value) => {
                if let Some(first) = model.log.first_mut() {
                    *first = value;
                }
            }
            Self::Pop => {
                model.log.pop();
            }
            Self::ClearLog => model.log.clear(),
            Self::Set(value) => model.setting = value,
            Self::Count => model.total += 1,
        }
    }
}

fn name(key: u8) -> String {
    format!("key-{key}")
}

trait Version: Stateful {
    fn act(&mut self, act: &Act);
    fn model(&self) -> Model;
}

/// A version: its values, and what it reads and writes besides.
macro_rules! version {
    ($name:ident, $version:literal, { $($field:ident: $type:ty = $value:expr),* }, { $($more:tt)* }) => {
        mod $name {
            use super::{Act, Model, Version, name};
            use crate::{Cell, Map, Vector};

            #[crate::state]
            #[derive(Clone, Default)]
            pub(crate) struct State {
                pub(crate) log: Vector<Value>,
                pub(crate) entries: Map<String, Value>,
                pub(crate) setting: Cell<Value>,
                pub(crate) total: u64,
            }

            #[crate::state]
            #[derive(Clone, Debug, Default, PartialEq)]
            pub(crate) struct Value {
                pub(crate) number: u32,
                $(pub(crate) $field: $type,)*
            }

            pub(crate) fn value(number: u32) -> Value {
                Value { number, $($field: $value,)* }
            }

            crate::module! { name: "shop", version: $version, state: State, incremental: true, $($more)* }

            impl Version for State {
                fn act(&mut self, act: &Act) {
                    match *act {
                        Act::Insert(key, number) => {
                            self.entries.insert(name(key), value(number));
                        }
                        Act::Update(key, number) => {
                            self.entries.update(&name(key), |value| value.number = number);
                        }
                        Act::Remove(key) => {
                            self.entries.remove(name(key).as_str());
                        }
                        Act::Clear => self.entries.clear(),
                        Act::Push(number) => self.log.push(value(number)),
                        Act::SetFirst(number) => {
                            if let Some(first) = self.log.get_mut(0) {
                                first.number = number;
                            }
                        }
                        Act::Pop => {
                            self.log.pop();
                        }
                        Act::ClearLog => self.log.clear(),
                        Act::Set(number) => self.setting.update(|value| value.number = number),
                        Act::Count => self.total += 1,
                    }
                }

                fn model(&self) -> Model {
                    for (key, value) in &self.entries {
                        assert!(self.entries.contains_key(&*key));
                        assert_eq!(self.entries.get(&*key).as_deref(), Some(&*value));
                    }
                    assert_eq!(self.entries.len(), self.entries.keys().count());
                    Model {
                        entries: self.entries.iter().map(|(key, value)| (key.into_owned(), value.number)).collect(),
                        log: self.log.iter().map(|value| value.number).collect(),
                        setting: self.setting.get().number,
                        total: self.total,
                    }
                }
            }
        }
    };
}

version!(one, "1.0.0", {}, {});
version!(two, "1.1.0", { text: String = "new".into() }, {
    reads: { "~1.0" => super::one::State },
    writes: { "~1.0" => super::one::State },
});

impl From<one::Value> for two::Value {
    fn from(old: one::Value) -> Self {
        two::value(old.number)
    }
}

impl From<&two::Value> for one::Value {
    fn from(value: &two::Value) -> Self {
        one::value(value.number)
    }
}

impl From<one::State> for two::State {
    fn from(old: one::State) -> Self {
        Self {
            log: old.log.convert(),
            entries: old.entries.convert(),
            setting: old.setting.convert(),
            total: old.total,
        }
    }
}

impl From<&two::State> for one::State {
    fn from(state: &two::State) -> Self {
        Self {
            log: state.log.convert_back(),
            entries: state.entries.convert_back(),
            setting: state.setting.convert_back(),
            total: state.total,
        }
    }
}

/// A session, and what has come of it.
struct Transfer {
    session: Option<Session>,
    change: Change,
    chunks: Vec<Vec<u8>>,
    /// Every entry and a head were given: from here on all chunks are the state as it stands.
    whole: bool,
}

impl Transfer {
    fn begin<S: Stateful>(state: &S, to: &str) -> Self {
        let mut change = Change::new(S::VERSION, to).expect("versions");
        if S::VERSION == to {
            change.direction = Direction::Restore;
        }
        let (session, _) = Session::begin(state, &change).expect("begins");
        Self {
            session: Some(session),
            change,
            chunks: Vec::new(),
            whole: false,
        }
    }

    fn next<S: Version>(&mut self, state: &S, bytes_max: u32) {
        let session = self.session.as_mut().expect("not ended");
        let chunk = session.next(state, bytes_max).expect("gives");
        if chunk.is_none() && bytes_max > 0 {
            self.whole = true;
            assert_eq!(session.pending(state), Ok(0));
        }
        self.chunks.extend(chunk);
    }

    fn arrives<S: Version>(&self, rest: Vec<u8>) -> S {
        let mut accepted = Accepted::default();
        for chunk in &self.chunks {
            accepted.accept(chunk.clone()).expect("accepts");
        }
        accepted.finish(&self.change, rest).expect("finishes")
    }
}

enum Either {
    One(one::State),
    Two(two::State),
}

impl Either {
    fn begin(&self, other: bool) -> Transfer {
        match self {
            Self::One(state) => Transfer::begin(state, if other { "1.1.0" } else { "1.0.0" }),
            Self::Two(state) => Transfer::begin(state, if other { "1.0.0" } else { "1.1.0" }),
        }
    }

    fn act(&mut self, act: &Act) {
        match self {
            Self::One(state) => state.act(act),
            Self::Two(state) => state.act(act),
        }
    }

    fn next(&self, transfer: &mut Transfer, bytes_max: u32) {
        match self {
            Self::One(state) => transfer.next(state, bytes_max),
            Self::Two(state) => transfer.next(state, bytes_max),
        }
    }

    fn arrives(transfer: &Transfer, rest: Vec<u8>) -> Self {
        if transfer.change.to == "1.0.0" {
            Self::One(transfer.arrives(rest))
        } else {
            Self::Two(transfer.arrives(rest))
        }
    }

    fn model(&self) -> Model {
        match self {
            Self::One(state) => state.model(),
            Self::Two(state) => state.model(),
        }
    }

    fn hand_over(&self, mut transfer: Transfer) -> Self {
        let session = transfer.session.take().expect("not ended");
        let rest = match self {
            Self::One(state) => session.rest(state),
            Self::Two(state) => session.rest(state),
        };
        Self::arrives(&transfer, rest.expect("gives the rest"))
    }
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..24_u8, 0..300_u32).prop_map(|(key, value)| Act::Insert(key, value)),
        3 => (0..24_u8, 0..300_u32).prop_map(|(key, value)| Act::Update(key, value)),
        4 => (0..24_u8).prop_map(Act::Remove),
        1 => Just(Act::Clear),
        4 => (0..300_u32).prop_map(Act::Push),
        2 => (0..300_u32).prop_map(Act::SetFirst),
        2 => Just(Act::Pop),
        1 => Just(Act::ClearLog),
        1 => (0..300_u32).prop_map(Act::Set),
        1 => Just(Act::Count),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => act().prop_map(Step::Act),
        6 => (1..90_u32).prop_map(Step::Next),
        2 => Just(Step::Next(100_000)),
        4 => Just(Step::Changes),
        1 => Just(Step::Again),
        1 => any::<bool>().prop_map(Step::HandOver),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_arrives_is_the_state_as_it_stood(
        first in vec(act(), 0..30),
        steps in vec(step(), 0..120),
        other in any::<bool>(),
    ) {
        let mut model = Model::default();
        let mut state = Either::One(one::State::default());
        for act in &first {
            act.on_model(&mut model);
            state.act(act);
        }
        let mut transfer = state.begin(other);
        for step in &steps {
            match step {
                Step::Act(act) => {
                    act.on_model(&mut model);
                    state.act(act);
                }
                Step::Next(bytes_max) => state.next(&mut transfer, *bytes_max),
                Step::Changes => {
                    state.next(&mut transfer, 0);
                    // A log of changes: at each of these points it is the state.
                    if transfer.whole {
                        prop_assert_eq!(&Either::arrives(&transfer, Vec::new()).model(), &model);
                    }
                }
                Step::Again => transfer = state.begin(other),
                Step::HandOver(other) => {
                    state = state.hand_over(transfer);
                    prop_assert_eq!(&state.model(), &model);
                    transfer = state.begin(*other);
                }
            }
            prop_assert_eq!(&state.model(), &model);
        }
        // However much has changed, asking again and again comes to an end.
        transfer.whole = false;
        for _ in 0..1000 {
            state.next(&mut transfer, 40);
            if transfer.whole {
                break;
            }
        }
        prop_assert!(transfer.whole);
        prop_assert_eq!(&Either::arrives(&transfer, Vec::new()).model(), &model);
        prop_assert_eq!(&state.hand_over(transfer).model(), &model);
    }

    #[test]
    fn bad_bytes_are_an_error_never_a_panic(
        noise in vec(any::<u8>(), 0..40),
        at in 0..400_usize,
        byte in any::<u8>(),
    ) {
        let mut state = one::State::default();
        state.entries.extend((0..9).map(|key| (name(key), one::value(key.into()))));
        let change = Change::new("1.0.0", "1.1.0").expect("versions");
        let (session, _) = Session::begin(&state, &change).expect("begins");
        let mut rest = session.rest(&state).expect("gives");
        let at = at % rest.len();
        rest[at] = byte;
        // An entry of the rest that cannot be read is found now, not when it is touched.
        if let Ok(read) = Accepted::default().finish::<two::State>(&change, rest) {
            read.model();
        }
        let mut noisy = vec![1];
        noisy.extend(noise);
        let mut accepted = Accepted::default();
        if accepted.accept(noisy.clone()).is_ok() {
            let _ = accepted.finish::<two::State>(&change, noisy);
        }
    }
}
