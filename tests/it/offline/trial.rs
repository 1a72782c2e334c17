//! `wasmhot test`: states go every way between versions, without a host.

use super::Offline;
use crate::support::{Binary, hostile, put_guests};
use serde_json::Value;

/// `from -> to` of all ways with this state.
fn ways(told: &Value, state: &str) -> Vec<String> {
    let ways = told["ways"].as_array().unwrap();
    let of_it = ways.iter().filter(|way| way["state"] == state);
    of_it
        .map(|way| format!("{} -> {}", way["from"].as_str().unwrap(), way["to"].as_str().unwrap()))
        .collect()
}

#[test]
fn all_versions_of_the_counter_take_each_others_states() {
    let offline = Offline::new();
    put_guests(
        &offline.folder("app"),
        &["counter-1.0.0", "counter-1.1.0", "counter-2.0.0"],
    );
    let (code, told) = offline.json(&["test", "app"]);
    assert_eq!((code, &told["failed"]), (0, &0.into()), "{told:#}");
    let wanted = [
        "1.0.0 -> 1.1.0",
        "1.0.0 -> 2.0.0",
        "1.1.0 -> 1.0.0",
        "1.1.0 -> 2.0.0",
        "2.0.0 -> 1.0.0",
        "2.0.0 -> 1.1.0",
    ];
    assert_eq!(ways(&told, "new"), wanted);
    assert!(
        told["ways"]
            .as_array()
            .unwrap()
            .iter()
            .all(|way| way["bytes"].as_u64() > Some(0)),
        "{told:#}"
    );
    let said = offline.ok(&["test", "app"]);
    assert!(said.contains("6 ways, all good"), "{said}");
    // Between two releases only these two ends are tried.
    put_guests(&offline.folder("old"), &["counter-1.0.0"]);
    put_guests(&offline.folder("new"), &["counter-1.1.0", "counter-2.0.0"]);
    let (code, told) = offline.json(&["test", "old", "new"]);
    assert_eq!(
        (code, ways(&told, "new")),
        (0, vec!["1.0.0 -> 2.0.0".to_string(), "2.0.0 -> 1.0.0".to_string()])
    );
}

#[test]
fn exported_states_are_tried_too() {
    let host = Binary::run(&["counter-1.0.0"], &[]);
    host.ok(&["call", "counter", "increment(42)"]);
    let offline = Offline::new();
    offline.folder("corpus");
    let file = offline.path("corpus/forty-two");
    host.ok(&["state", "export", "counter", "-o", file.to_str().unwrap()]);
    put_guests(&offline.folder("app"), &["counter-1.0.0", "counter-2.0.0"]);
    let (code, told) = offline.json(&["test", "app", "--corpus", "corpus"]);
    assert_eq!(
        (code, ways(&told, "forty-two")),
        (0, vec!["1.0.0 -> 2.0.0".to_string()]),
        "{told:#}"
    );
    let way = told["ways"]
        .as_array()
        .unwrap()
        .iter()
        .find(|way| way["state"] == "forty-two")
        .unwrap();
    assert_eq!(way["same_after_return"], true, "{way}");
    // Its writer need not be there: then the newest version has to read it.
    put_guests(&offline.folder("newer"), &["counter-1.1.0", "counter-2.0.0"]);
    let (code, told) = offline.json(&["test", "newer", "--state", file.to_str().unwrap()]);
    assert_eq!(
        (code, ways(&told, "forty-two")),
        (0, vec!["1.0.0 -> 2.0.0".to_string(), "2.0.0 -> 1.1.0".to_string()]),
        "{told:#}"
    );
    // Of another module, or no state at all.
    put_guests(&offline.folder("other"), &["rooms-1.0.0"]);
    let said = offline.refused(&["test", "other", "--state", file.to_str().unwrap()]);
    assert!(said.contains("it is a state of `counter`"), "{said}");
    offline.write("corpus/not-one", "hello");
    let said = offline.refused(&["test", "app", "--corpus", "corpus"]);
    assert!(said.contains("not-one: not a state"), "{said}");
}

#[test]
fn appups_say_what_migrate_is_told() {
    let offline = Offline::donations();
    let (code, told) = offline.json(&["test", "app/release-1.0.0.toml", "app/release-1.2.0.toml"]);
    assert_eq!(code, 0, "{told:#}");
    assert_eq!(ways(&told, "new"), ["1.0.0 -> 1.2.0", "1.2.0 -> 1.0.0"]);
    // Without it the server does not know the currency.
    for appup in ["server-1.1.0.appup.toml", "server-1.2.0.appup.toml"] {
        std::fs::remove_file(offline.path("app").join(appup)).unwrap();
    }
    let (code, told) = offline.json(&["test", "app/release-1.0.0.toml", "app/release-1.2.0.toml"]);
    assert_eq!(code, 1, "{told:#}");
    assert!(
        told["ways"][0]["failed"][0].as_str().unwrap().contains("currency"),
        "{told:#}"
    );
}

#[test]
fn a_detour_has_to_lead_to_the_same_state() {
    let offline = Offline::donations();
    let appup = offline.read("app/server-1.2.0.appup.toml");
    offline.write("app/server-1.2.0.appup.toml", appup.replace("\"USD\"", "\"CHF\""));
    let said = offline.json(&["test", "app/release-1.0.0.toml", "app/release-1.2.0.toml"]);
    let (code, told) = said;
    assert_eq!(code, 1, "{told:#}");
    let failed = told["ways"][0]["failed"].as_array().unwrap();
    assert_eq!(
        failed,
        &["by way of 1.1.0 another state arrives than directly"],
        "{told:#}"
    );
}

#[test]
fn what_goes_wrong_is_told() {
    for (plan, from, to, wanted) in [
        ("migrate=err", 0, 1, "1.0.0 -> 1.1.0: migrate said: "),
        ("migrate=trap", 0, 1, "1.0.0 -> 1.1.0: migrate trapped: "),
        ("later=err", 0, 1, "1.0.0 -> 1.1.0: health said: "),
        ("health=err", 1, 1, "health said: "),
        ("start=trap", 1, 1, "start trapped: "),
        ("save=trap", 1, 1, "save trapped: "),
    ] {
        let offline = Offline::new();
        offline.folder("app");
        offline.write("app/hostile-1.0.0.wasm", hostile("1.0.0", ""));
        offline.write("app/hostile-1.1.0.wasm", hostile("1.1.0", plan));
        let (code, told) = offline.json(&["test", "app"]);
        assert_eq!((code, &told["exit"]), (1, &1.into()), "{plan}: {told:#}");
        let versions = ["1.0.0", "1.1.0"];
        let ways = told["ways"].as_array().unwrap();
        let is_it = |way: &&Value| way["from"] == versions[from] && way["to"] == versions[to];
        let way = ways.iter().find(is_it).unwrap_or_else(|| panic!("{plan}: {told:#}"));
        assert!(way["failed"][0].as_str().unwrap().contains(wanted), "{plan}: {way:#}");
    }
}

#[test]
fn nothing_to_try_is_told() {
    let offline = Offline::new();
    put_guests(&offline.folder("app"), &["calculator-1.0.0"]);
    let said = offline.refused(&["test", "app"]);
    assert!(said.contains("no module that keeps state"), "{said}");
    put_guests(&offline.folder("one"), &["counter-1.0.0"]);
    let (code, printed, said) = offline.cli(&["test", "one", "one"]);
    assert_eq!(code, 0, "{said}");
    assert!(printed.contains("nothing to try"), "{printed}");
}
