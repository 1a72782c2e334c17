//! Releases as a whole: the journal and what a crash leaves of an upgrade, `call` steps, probation, and the verbs that tell of them and
//! go back.

mod kills;
mod probation;
mod settings;
mod steps;
mod verbs;

use std::path::PathBuf;

/// `history --json`, newest last.
fn history(host: &crate::support::Binary) -> Vec<serde_json::Value> {
    let (_, told) = host.json(&["history"]);
    told["history"].as_array().unwrap().clone()
}

fn version(host: &crate::support::Binary, module: &str) -> String {
    let (_, status) = host.json(&["status"]);
    let modules = status["modules"].as_array().unwrap();
    let found = modules.iter().find(|found| found["module"] == module);
    found.map_or_else(
        || "(none)".to_string(),
        |found| found["version"].as_str().unwrap().to_string(),
    )
}

/// A relup of counter from what runs to this version, with steps before, after and when permanent.
fn relup(folder: &std::path::Path, to: &str, steps: &str) -> PathBuf {
    let guest = crate::support::guest(&format!("counter-{to}"));
    let text = format!(
        "format = 1\n[release]\nname = \"app\"\nto = \"{to}\"\n[[modules]]\nname = \"counter\"\npath = \"{}\"\n{steps}\n[[up]]\nupdate = \"counter\"\n",
        guest.display()
    );
    let file = folder.join(format!("relup-{to}.toml"));
    std::fs::write(&file, text).unwrap();
    file
}
