//! The same limits as flags of the real binary, with its exit codes.

use crate::support::{Binary, hostile};
use std::path::Path;

fn prepare(app: &Path) {
    std::fs::write(app.join("hostile.wasm"), hostile("1.0.0", "")).unwrap();
}

fn put(host: &Binary, plan: &str) -> String {
    let file = host.root().join("hostile-1.0.1.wasm");
    std::fs::write(&file, hostile("1.0.1", plan)).unwrap();
    file.to_str().unwrap().to_string()
}

#[test]
fn flags_of_apply_decide_and_the_exit_code_says_whether_a_gate_was_closed() {
    let host = Binary::prepared(prepare, &[]);
    host.ok(&["call", "hostile", "increment(5)"]);
    let table = [
        ("compile-timeout", "1ns", "", 1),
        ("start-timeout", "200ms", "start=loop", 1),
        ("health-timeout", "200ms", "health=loop", 1),
        ("migrate-timeout", "200ms", "migrate=loop", 7),
    ];
    for (flag, value, plan, code) in table {
        let file = put(&host, plan);
        let (exit, said) = host.fails(&["apply", &file, &format!("--{flag}"), value]);
        assert_eq!(exit, code, "{flag}: {said}");
        assert!(said.contains(&flag.replace('-', "_")), "{flag}: {said}");
        assert_eq!(host.ok(&["call", "hostile", "get()"]).trim(), "5");
    }
    let file = put(&host, "");
    let (exit, said) = host.fails(&["apply", &file, "--migrate-timeout", "5"]);
    assert_eq!(exit, 2, "{said}");
    assert!(said.contains("needs a unit"), "{said}");
    host.ok(&[
        "apply",
        &file,
        "--quiesce-timeout",
        "1m",
        "--save-timeout",
        "1m",
        "--drain-timeout",
        "1s",
    ]);
    assert_eq!(host.ok(&["call", "hostile", "get()"]).trim(), "5");
}

#[test]
fn flags_of_run_decide() {
    let flags = [
        "--stuck-timeout",
        "300ms",
        "--call-deadline",
        "1m",
        "--migrate-timeout",
        "200ms",
        "--settle",
        "50ms",
    ];
    let host = Binary::prepared(prepare, &flags);
    host.ok(&["call", "hostile", "increment(5)"]);
    let (exit, said) = host.fails(&["call", "hostile", "fault(\"loop\")"]);
    assert_eq!(exit, 1, "{said}");
    assert!(
        said.contains("stuck_timeout") && said.contains("may have been executed"),
        "{said}"
    );
    let (exit, said) = host.fails(&["apply", &put(&host, "migrate=loop")]);
    assert!([1, 7].contains(&exit), "{said}");
    assert!(said.contains("200ms (migrate_timeout)"), "{said}");
    let (exit, said) = host.fails(&["call", "hostile", "fault(\"sleep:1000\")", "--deadline", "100ms"]);
    assert_eq!(exit, 6, "the call goes on: {said}");
}
