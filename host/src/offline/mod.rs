//! Releases without a host: read from disk, planned, checked, packed, installed, tried. The commands that need no host stand on this.
//!
//! Invariants:
//! - What a file is, and whether it is what a release says of it, is decided by the code that decides it in a host: what is refused
//!   here is refused there, in the same words.
//! - Nothing here changes what runs. Files are written whole or not at all.

mod check;
mod install;
mod pack;
mod paths;
mod plan;
mod read;
mod release;
mod section;
mod trial;

pub(crate) use crate::host::load::read_relup;
pub(crate) use check::check_relup;
pub(crate) use install::install;
pub(crate) use pack::{Contents, pack};
pub(crate) use paths::write_file;
pub(crate) use plan::{plan_releases, relative_relup};
pub(crate) use read::OnDisk;
pub(crate) use release::{ReadRelease, modules_of, running};
pub(crate) use section::with_appup;
pub(crate) use trial::{Bench, Way};
