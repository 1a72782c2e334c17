//! Tests of the whole: the real library and the real binary, real Wasm, real signals.
#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

mod accounts;
mod calls;
mod capabilities;
mod cli;
mod clients;
mod concurrent;
mod control;
mod crossing;
mod demo;
mod donations;
mod drops;
mod faults;
mod hangup;
mod http;
mod keys;
mod leak;
mod library;
mod limits;
mod load;
mod losses;
mod made;
mod nested;
mod offline;
mod others;
mod process;
mod readme;
mod releases;
mod restart;
mod smoke;
mod stop;
mod suites;
mod support;
mod upgrades;
