//! `wasi:logging`.

use super::release;
use crate::support::Binary;

#[test]
fn a_line_says_who_wrote_it_and_how_grave_it_is_and_cannot_forge_another() {
    let prepare = |app: &std::path::Path| {
        crate::support::put_guests(app, &["explorer-1.0.0"]);
        std::fs::write(app.join("release.toml"), release("")).unwrap();
    };
    let mut host = Binary::prepared(prepare, &[]);
    host.ok(&["call", "explorer", r#"log("error", "orders", "out of stock")"#]);
    let line = host.says("out of stock");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (line["level"].as_str(), line["target"].as_str()),
        (Some("ERROR"), Some("guest")),
        "{line}"
    );
    let fields = &line["fields"];
    assert_eq!(
        (
            fields["module"].as_str(),
            fields["version"].as_str(),
            fields["context"].as_str()
        ),
        (Some("explorer"), Some("1.0.0"), Some("orders"))
    );
    assert!(fields["instance"].is_u64(), "{line}");
}
