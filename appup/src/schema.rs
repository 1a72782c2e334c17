//! JSON Schemas of the formats.
