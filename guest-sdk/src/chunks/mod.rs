//! A large state is handed over in chunks, while the old version serves.
//!
//! A [`session::Session`] of the old version *walks* the state again and again: it has it serialised, and the containers in it, which
//! see that a walk is on ([`walk`]), do something else than give all their entries. The new version collects the chunks
//! ([`accepted`]): nothing is decoded, entries stay where they came ([`table`]). At last it reads the *head*, which is the state with
//! numbers in the place of containers, and each container takes over the table of its number. [`records`] is the format.

pub(crate) mod accepted;
pub(crate) mod records;
pub(crate) mod session;
pub(crate) mod table;
pub(crate) mod walk;

#[cfg(test)]
mod tests;
