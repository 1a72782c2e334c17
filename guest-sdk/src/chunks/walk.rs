//! The walk that is on: what containers are to do when they are serialised or read.
//!
//! There is at most one on a thread, and it lives no longer than one call of [`run`]: versions and sessions cannot mix it up. While a
//! container does its part ([`visit`]) the mode is [`Mode::Whole`], so that containers *in its entries* are plain.

use std::cell::RefCell;
use std::rc::Rc;

use super::accepted::Given;

/// What containers do.
pub(crate) enum Mode {
    /// Give or read all entries, as a plain map or sequence.
    Whole,
    /// Give a number in the place of the entries.
    Head(Head),
    /// Give entries into a chunk.
    Chunk(Chunk),
    /// Say how many bytes there are to give.
    Count(Count),
    /// Take over the entries of a number.
    Read(Given),
    /// Decode what came in the rest.
    Check,
}

/// A session, as its containers know it.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) alive: Rc<()>,
    /// The state is written in the format of an older version.
    pub(crate) older: bool,
}

pub(crate) struct Head {
    pub(crate) session: Token,
    /// The number of this walk: a container is met once in each.
    pub(crate) pass: u64,
    /// Whether this is the first: containers get their numbers.
    pub(crate) begin: bool,
    /// The next one's.
    pub(crate) number: u32,
    /// About how many bytes their entries have.
    pub(crate) bytes: u64,
}

pub(crate) struct Chunk {
    pub(crate) session: Token,
    pub(crate) part: Part,
    /// The length at which the chunk is full.
    pub(crate) full: usize,
    pub(crate) bytes: Vec<u8>,
    /// Where an entry is written before its lengths are known.
    pub(crate) entry: Vec<u8>,
}

/// What goes into a chunk.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Part {
    /// Every entry once.
    Base,
    /// What has changed since it was given, or since the session began.
    Changes,
}

pub(crate) struct Count {
    pub(crate) session: Token,
    pub(crate) bytes: u64,
}

struct Walk {
    mode: Mode,
    fault: Option<String>,
}

thread_local! {
    static WALK: RefCell<Option<Walk>> = const { RefCell::new(None) };
}

/// Puts a walk back where it was, also when what runs in between unwinds.
struct Outer(Option<Walk>);

impl Drop for Outer {
    fn drop(&mut self) {
        WALK.replace(self.0.take());
    }
}

/// Does something with a walk on, and gives what the walk has become.
///
/// # Errors
/// The first [`fault`], before whatever the error has become on its way through a serializer.
pub(crate) fn run<T>(mode: Mode, work: impl FnOnce() -> Result<T, String>) -> Result<(T, Mode), String> {
    let outer = Outer(WALK.replace(Some(Walk { mode, fault: None })));
    let result = work();
    let walk = WALK.take();
    drop(outer);
    match walk {
        Some(Walk { fault: Some(fault), .. }) => Err(fault),
        Some(Walk { mode, .. }) => Ok((result?, mode)),
        None => Err("the walk was lost".into()),
    }
}

/// Does something with faults turned into errors: in the walk that is on, or in none.
pub(crate) fn collecting<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    if WALK.with_borrow(Option::is_some) {
        return work();
    }
    run(Mode::Whole, work).map(|(value, _)| value)
}

/// Notes that an entry cannot be had: whoever walks is told.
///
/// # Panics
/// Where nobody walks: an entry must not get lost without a word.
pub(crate) fn fault(error: &str) {
    assert!(note(error), "{error}");
}

/// Notes an error that is on its way already, before a serializer makes something else of it. Says whether anybody walks.
pub(crate) fn note(error: &str) -> bool {
    WALK.with_borrow_mut(|walk| match walk {
        Some(walk) => {
            walk.fault.get_or_insert_with(|| error.to_owned());
            true
        }
        None => false,
    })
}

/// Whether a head is being read.
pub(crate) fn reads() -> bool {
    visit(|mode| matches!(mode, Mode::Read(_)))
}

/// The part of one container in the walk. Inside, containers are plain.
pub(crate) fn visit<T>(part: impl FnOnce(&mut Mode) -> T) -> T {
    let mut visit = Visit(exchange(Mode::Whole));
    part(&mut visit.0)
}

struct Visit(Mode);

impl Drop for Visit {
    fn drop(&mut self) {
        exchange(std::mem::replace(&mut self.0, Mode::Whole));
    }
}

/// Without a walk there is nothing to exchange.
fn exchange(mode: Mode) -> Mode {
    WALK.with_borrow_mut(|walk| match walk {
        Some(walk) => std::mem::replace(&mut walk.mode, mode),
        None => Mode::Whole,
    })
}
