//! guest sdk.
