//! Somebody else's programs run as they were published.

mod commands;
