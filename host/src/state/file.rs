//! A state as a file, for `state export` and `state import`.

use crate::store::{SavedState, SavedStateTag};

/// The first line of an exported state: a JSON object with this key, then a newline, then the bytes that `save` gave.
const EXPORT_MARK: &str = "wasmhot-state";

/// A state as a file for `state export`: one line of JSON, then the bytes.
pub(crate) fn write_state_file(saved: &SavedState) -> Result<Vec<u8>, serde_json::Error> {
    let mut file = serde_json::to_vec(&serde_json::json!({ EXPORT_MARK: 1, "tag": saved.tag }))?;
    file.push(b'\n');
    file.extend_from_slice(&saved.bytes);
    Ok(file)
}

/// Reads what [`write_state_file`] wrote.
///
/// # Errors
/// In a sentence: not such a file, of a newer format, or cut short.
pub(crate) fn read_state_file(file: &[u8]) -> Result<SavedState, String> {
    let not_one = "not a state that `wasmhot state export` wrote";
    let end = file.iter().position(|byte| *byte == b'\n').ok_or(not_one)?;
    let (header, bytes) = (&file[..end], &file[end + 1..]);
    let header: serde_json::Value = serde_json::from_slice(header).map_err(|_| not_one)?;
    match header.get(EXPORT_MARK).and_then(serde_json::Value::as_u64) {
        Some(1) => {}
        Some(newer) => return Err(format!("written in format {newer}, which this wasmhot does not know")),
        None => return Err(not_one.to_string()),
    }
    let tag: SavedStateTag = serde_json::from_value(header.get("tag").cloned().unwrap_or_default())
        .map_err(|error| format!("{not_one}: {error}"))?;
    if tag.size != bytes.len() as u64 {
        return Err(format!(
            "cut short: {} bytes of state instead of {}",
            bytes.len(),
            tag.size
        ));
    }
    Ok(SavedState {
        tag,
        bytes: bytes.into(),
    })
}
