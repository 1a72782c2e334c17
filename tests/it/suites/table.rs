//! `docs/suites.md` is made from the tests. `WASMHOT_WRITE=1` writes it anew.

use std::path::Path;

const FILES: [(&str, &str); 3] = [
    (
        "release_handler_SUITE of Erlang/OTP",
        include_str!("release_handler.rs"),
    ),
    (
        "systools_SUITE and systools_rc_SUITE of Erlang/OTP",
        include_str!("systools.rs"),
    ),
    ("hot_update.rs and revert.rs of Golem", include_str!("golem.rs")),
];

const HEAD: &str = "# The suites of others

Cases of the suites that others trust, each a test in `tests/it/suites` that is named after it. This table is made from those tests;
all of them run in `cargo test --workspace`, so the result of each is that of the last run: ok, or the build is red.
";

const WITHOUT_MEANING: &str = "
## Without a meaning here

| case | why |
|---|---|
| `upgrade_restart`, `eval_appup_with_restart`, `restart_relup`, `translate_emulator_restarts`, the hybrid cases | an upgrade never restarts the host, and a new host is started like any program |
| `client1`, `client2` | the store of a host is its own; there are no masters on other machines |
| `upgrade_gg` | one host is not a cluster yet |
| `no_dot_erlang`, `no_run_erl`, `no_sasl_relup` | guards of Erlang's own environment |
| `app_start_type_relup` | a module has no start types: it is part of a release or it is not |
| `auto_update_with_disable_wakeup_keeps_worker_interrupted` | an instance is never interrupted to be woken later |
";

/// Name, theirs and ours of every test in a file.
fn cases(source: &str) -> Vec<[String; 3]> {
    let (mut found, mut theirs, mut ours) = (Vec::new(), None, None);
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// Theirs: ") {
            theirs = Some(text.to_string());
        } else if let Some(text) = line.strip_prefix("/// Ours: ") {
            ours = Some(text.to_string());
        } else if let Some(name) = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "))
            && let (Some(theirs), Some(ours)) = (theirs.take(), ours.take())
        {
            let name = name.split('(').next().unwrap().to_string();
            found.push([name, theirs, ours]);
        }
    }
    found
}

#[test]
fn the_table_is_what_the_tests_are() {
    let mut text = HEAD.to_string();
    let mut number = 0;
    for (suite, source) in FILES {
        let cases = cases(source);
        let tests = source.matches("#[test]").count() + source.matches("#[tokio::test").count();
        assert_eq!(
            cases.len(),
            tests,
            "{suite}: every test says what is theirs and what is ours"
        );
        number += cases.len();
        text += &format!("\n## {suite}\n\n| case | theirs | ours | result |\n|---|---|---|---|\n");
        for [name, theirs, ours] in cases {
            text += &format!("| `{name}` | {theirs} | {ours} | tested |\n");
        }
    }
    assert!(number >= 40, "{number} cases");
    text += WITHOUT_MEANING;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/suites.md");
    if std::env::var_os("WASMHOT_WRITE").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &text).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        written, text,
        "docs/suites.md is out of step: WASMHOT_WRITE=1 writes it anew"
    );
}
