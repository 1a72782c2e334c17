//! A plain core module becomes a component in memory (R6).

use super::VersionError;

/// Wraps a core module.
pub(super) fn to_component(bytes: &[u8], _has_type: bool, _notes: &mut Vec<String>) -> Result<Vec<u8>, VersionError> {
    wit_component::ComponentEncoder::default()
        .module(bytes)
        .and_then(|mut encoder| encoder.encode())
        .map_err(VersionError::invalid)
}
