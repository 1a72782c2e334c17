//! Upgrades of stateful modules: joint moves with `extra`, where the state comes from (R27), what would lose it (R30), whose it was
//! (R31), and several modules at once.

use crate::made::{gathering, renamed};
use crate::support::{World, guest, hostile_as, put_guests};
use wasmhot::control::protocol::{ApplyRequest, Exit, Failure, StateSource, UndoRequest, UpgradeReport};
use wasmhot::event::EventKind;

const DONATIONS: &str = r#"
format = 1
[release]
name = "donations"
from = "1.0.0"
to = "1.1.0"
[[modules]]
name = "server"
version = "1.1.0"
path = "server-1.1.0.wasm"
[[modules]]
name = "calculator"
path = "calculator-1.1.0.wasm"
[[up]]
update = "server"
extra = { currency = "USD" }
[[up]]
load_module = "calculator"
[[down]]
update = "server"
[[down]]
load_module = "calculator"
"#;

const DONATIONS_RELEASE: &str = r#"
format = 1
[release]
name = "donations"
version = "1.0.0"
[[modules]]
name = "server"
path = "server-1.0.0.wasm"
[[modules]]
name = "calculator"
path = "calculator-1.0.0.wasm"
"#;

async fn donations() -> World {
    World::release(DONATIONS_RELEASE, &["server-1.0.0", "calculator-1.0.0"]).await
}

/// A folder with the new files and the relup.
async fn apply_donations(world: &World, toml: &str) -> Result<UpgradeReport, Failure> {
    let outside = world.outside();
    for name in ["server-1.1.0", "calculator-1.1.0"] {
        std::fs::copy(guest(name), outside.join(format!("{name}.wasm"))).unwrap();
    }
    std::fs::write(outside.join("relup.toml"), toml).unwrap();
    world.apply(&outside.join("relup.toml")).await
}

async fn donate(world: &World, name: &str, amount: u64) -> u64 {
    let total: Result<u64, String> = world.host.call("server", "donate", (name, amount)).await.unwrap();
    total.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_joint_move_goes_up_with_extra_and_down_with_the_live_state() {
    let world = donations().await;
    assert_eq!(donate(&world, "ann", 1000).await, 950, "5 % fee");
    let report = apply_donations(&world, DONATIONS).await.unwrap();
    assert_eq!((report.revision, report.release.as_str()), (Some(2), "donations 1.1.0"));
    assert_eq!(
        donate(&world, "bob", 1000).await,
        950 + 930,
        "7 % in dollars: extra has reached migrate"
    );
    world.host.undo(UndoRequest::default()).await.unwrap();
    let version: String = world.host.call("server", "version", ()).await.unwrap();
    assert_eq!(version, "1.0.0");
    assert_eq!(
        donate(&world, "ann", 1000).await,
        950 + 930 + 950,
        "what was written since is kept"
    );
    assert_eq!(world.host.status().release, "donations 1.0.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_of_a_joint_move_is_refused_with_exit_4() {
    let world = donations().await;
    for name in ["server-1.1.0", "calculator-1.1.0"] {
        let failure = world.apply(&guest(name)).await.unwrap_err();
        assert_eq!(u8::from(failure.exit), 4, "{failure}");
        for part in [
            "server",
            "calculator",
            "donations:app/calculator.calculate",
            "func(amount: u64) -> u64",
            "func(amount: u64, currency: string) -> u64",
        ] {
            assert!(failure.message.contains(part), "{part} is not in: {failure}");
        }
    }
    assert_eq!(donate(&world, "ann", 1000).await, 950);
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_failing_member_leaves_all_as_they_were() {
    let world = donations().await;
    donate(&world, "ann", 1000).await;
    // 1.1.0 wants a currency: without `extra` its migrate says no.
    let failure = apply_donations(&world, &DONATIONS.replace("extra =", "#"))
        .await
        .unwrap_err();
    assert!(matches!(failure.exit, Exit::CalledOff | Exit::Failed), "{failure:?}");
    assert!(failure.message.contains("currency"), "{failure}");
    assert_eq!(donate(&world, "ann", 1000).await, 1900);
    assert_eq!(world.host.status().revision, 1);
    assert!(world.host.status().last_called_off.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_whichever_of_three_modules_fails_behind_the_gate_all_are_as_they_were() {
    const NAMES: [&str; 3] = ["hostila", "hostilb", "hostilc"];
    let files = NAMES.map(|name| (format!("{name}.wasm"), hostile_as(name, "1.0.0", "")));
    // Without a saved state nothing is rehearsed: the fault is found behind the gate.
    let unsaved = |builder: wasmhot::HostBuilder| {
        builder.limits(wasmhot_appup::LimitsSpec {
            save_interval: Some(std::time::Duration::from_secs(3600)),
            compile_timeout: Some(std::time::Duration::from_secs(600)),
            ..wasmhot_appup::LimitsSpec::default()
        })
    };
    for (number, fault) in ["migrate=trap", "migrate=err", "later=err"].iter().enumerate() {
        let world = World::of_files(&files, unsaved).await;
        for name in NAMES {
            let _: i64 = world.host.call(name, "increment", (7_i64,)).await.unwrap();
        }
        for (place, name) in NAMES.iter().enumerate() {
            let plan = if place == number { fault } else { "" };
            let bytes = hostile_as(name, "1.0.1", plan);
            std::fs::write(world.outside().join(format!("{name}.wasm")), bytes).unwrap();
        }
        let text = "format = 1\n[release]\nname = \"three\"\nto = \"1.0.1\"\n".to_string()
            + &declared(&NAMES)
            + &NAMES.map(|name| format!("[[up]]\nupdate = \"{name}\"\n")).concat();
        let relup = world.outside().join("relup.toml");
        std::fs::write(&relup, text).unwrap();
        let since = world.now();
        let failure = world.apply(&relup).await.unwrap_err();
        assert_eq!(
            (failure.exit, failure.module.as_deref()),
            (Exit::CalledOff, Some(NAMES[number])),
            "{failure:?}"
        );
        world.event_of(since, EventKind::Gated).await;
        for name in NAMES {
            let value: i64 = world.host.call(name, "increment", (1_i64,)).await.unwrap();
            assert_eq!(value, 8, "{fault} in {}: {name}", NAMES[number]);
        }
        let status = world.host.status();
        assert!(
            status.modules.iter().all(|module| module.version == "1.0.0"),
            "{status:#?}"
        );
        assert_eq!((status.revision, status.busy), (1, None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relup_that_does_not_start_from_what_runs_is_refused() {
    let world = donations().await;
    let toml = DONATIONS.replace("from = \"1.0.0\"", "from = \"0.9.0\"");
    let failure = apply_donations(&world, &toml).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Refused, "{failure}");
    assert!(
        failure.message.contains("0.9.0") && failure.message.contains("1.0.0"),
        "{failure}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relup_with_a_wrong_digest_or_a_missing_file_is_refused_before_anything() {
    let world = donations().await;
    let wrong = DONATIONS.replace(
        "path = \"calculator-1.1.0.wasm\"",
        &format!("path = \"calculator-1.1.0.wasm\"\nsha256 = \"{}\"", "ab".repeat(32)),
    );
    let failure = apply_donations(&world, &wrong).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Refused, "{failure}");
    assert!(
        failure.message.contains(&"ab".repeat(32)),
        "the wanted digest: {failure}"
    );
    let missing = DONATIONS.replace("calculator-1.1.0.wasm", "gone.wasm");
    let failure = apply_donations(&world, &missing).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Refused, "{failure}");
    assert!(failure.message.contains("gone.wasm"), "{failure}");
    // A fault of the text is drawn.
    let failure = apply_donations(&world, &DONATIONS.replace("update", "updaet"))
        .await
        .unwrap_err();
    assert_eq!(failure.exit, Exit::Refused, "{failure}");
    assert!(
        failure.message.contains("relup.toml:") && failure.message.contains("did you mean"),
        "{failure}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_three_counters_go_up_and_down_with_their_states() {
    let world = World::of(&["counter-1.0.0"]).await;
    let add = async |by: i64| -> i64 { world.host.call("counter", "increment", (by,)).await.unwrap() };
    let version = async || -> String { world.host.call("counter", "version", ()).await.unwrap() };
    assert_eq!(add(1).await, 1);
    for (name, expected) in [("counter-1.1.0", "1.1.0"), ("counter-2.0.0", "2.0.0")] {
        world.apply(&guest(name)).await.unwrap();
        assert_eq!(version().await, expected);
        add(10).await;
    }
    for expected in ["1.1.0", "1.0.0"] {
        world.host.undo(UndoRequest::default()).await.unwrap();
        assert_eq!(version().await, expected);
        add(100).await;
    }
    assert_eq!(add(0).await, 221);
    // In one step over the middle version too.
    world.apply(&guest("counter-2.0.0")).await.unwrap();
    assert_eq!(add(0).await, 221);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_rehearses_and_changes_nothing() {
    let world = World::of(&["counter-1.0.0"]).await;
    let _: i64 = world.host.call("counter", "increment", (5_i64,)).await.unwrap();
    let request = ApplyRequest {
        path: guest("counter-2.0.0"),
        dry_run: true,
        ..ApplyRequest::default()
    };
    let report = world.host.apply(request).await.unwrap();
    assert_eq!(report.revision, None);
    assert_eq!(report.modules[0].to.as_deref(), Some("2.0.0"));
    let version: String = world.host.call("counter", "version", ()).await.unwrap();
    assert_eq!(version, "1.0.0");
}

async fn apply_with(world: &World, name: &str, state: StateSource) -> Result<UpgradeReport, Failure> {
    let request = ApplyRequest {
        path: guest(name),
        state,
        ..ApplyRequest::default()
    };
    world.host.apply(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn r27_the_state_may_be_live_last_saved_empty_or_a_file() {
    let world = World::of(&["counter-1.0.0"]).await;
    let get = async || -> i64 { world.host.call("counter", "get", ()).await.unwrap() };
    let _: i64 = world.host.call("counter", "increment", (5_i64,)).await.unwrap();
    // Exporting saves: this is the last saved state.
    let exported = world.host.state_export("counter", None).await.unwrap();
    let file = world.outside().join("five.state");
    std::fs::write(&file, &exported).unwrap();
    let _: i64 = world.host.call("counter", "increment", (2_i64,)).await.unwrap();

    apply_with(&world, "counter-1.1.0", StateSource::Live).await.unwrap();
    assert_eq!(get().await, 7);
    apply_with(&world, "counter-2.0.0", StateSource::File(file))
        .await
        .unwrap();
    assert_eq!(get().await, 5, "the file's state, by way of migrate");
    apply_with(&world, "counter-1.1.0", StateSource::Empty).await.unwrap();
    assert_eq!(get().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn r27_old_code_that_cannot_save_imprisons_nobody() {
    let world = World::hostile("1.0.0", "save=err", |builder| builder).await;
    let _: i64 = world.host.call("hostile", "increment", (5_i64,)).await.unwrap();
    let path = world.outside().join("hostile-1.0.1.wasm");
    std::fs::write(&path, crate::support::hostile("1.0.1", "")).unwrap();
    let failure = world.apply(&path).await.unwrap_err();
    assert_eq!(
        (failure.exit, failure.phase.as_deref()),
        (Exit::CalledOff, Some("save")),
        "{failure}"
    );
    let value: i64 = world.host.call("hostile", "get", ()).await.unwrap();
    assert_eq!(value, 5);
    let request = ApplyRequest {
        path,
        state: StateSource::Empty,
        ..ApplyRequest::default()
    };
    world.host.apply(request).await.unwrap();
    let value: i64 = world.host.call("hostile", "get", ()).await.unwrap();
    assert_eq!(value, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn r30_stateful_to_stateless_is_refused_as_lossy() {
    let world = World::of(&["counter-1.0.0"]).await;
    let _: i64 = world.host.call("counter", "increment", (5_i64,)).await.unwrap();
    let stateless = wat::parse_str(r#"(module (func (export "answer") (result i32) i32.const 42))"#).unwrap();
    let path = world.outside().join("counter-3.0.0.wasm");
    std::fs::write(&path, stateless).unwrap();
    let failure = world.apply(&path).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Refused, "{failure}");
    assert!(failure.message.contains("--allow-lossy"), "{failure}");
    let request = ApplyRequest {
        path,
        allow_lossy: true,
        ..ApplyRequest::default()
    };
    let report = world.host.apply(request).await.unwrap();
    assert!(!report.lossy.is_empty(), "{report:?}");
    let answer: i32 = world.host.call("counter", "answer", ()).await.unwrap();
    assert_eq!(answer, 42);
    // The way back is lossy too: it starts fresh.
    let request = UndoRequest {
        allow_lossy: true,
        ..UndoRequest::default()
    };
    world.host.undo(request).await.unwrap();
    let value: i64 = world.host.call("counter", "get", ()).await.unwrap();
    assert_eq!(value, 0);
}

const RENAME: &str = r#"
format = 1
[release]
name = "app"
to = "2.0.0"
[[modules]]
name = "kounter"
path = "kounter-1.0.0.wasm"
[[up]]
add_module = "kounter"
state_from = ["counter"]
[[up]]
delete_module = "counter"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn r31_a_module_is_renamed_with_its_state_in_one_switch() {
    let world = World::of(&["counter-1.0.0"]).await;
    let _: i64 = world.host.call("counter", "increment", (5_i64,)).await.unwrap();
    let outside = world.outside();
    std::fs::write(
        outside.join("kounter-1.0.0.wasm"),
        renamed("counter-1.0.0", "counter", "kounter"),
    )
    .unwrap();
    std::fs::write(outside.join("relup.toml"), RENAME).unwrap();
    let since = world.now();
    let report = world.apply(&outside.join("relup.toml")).await.unwrap();
    assert_eq!(report.revision, Some(2));
    let value: i64 = world.host.call("kounter", "get", ()).await.unwrap();
    assert_eq!(value, 5);
    assert!(world.host.call::<_, i64>("counter", "get", ()).await.is_err());
    world.event_of(since, EventKind::Switched).await;
}

/// `[[modules]]` of these files.
fn declared(files: &[&str]) -> String {
    let of = |name: &&str| format!("[[modules]]\nname = \"{name}\"\npath = \"{name}.wasm\"\n");
    files.iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn r31_one_module_is_split_into_two_in_one_switch() {
    let world = World::of(&["counter-1.0.0"]).await;
    let _: i64 = world.host.call("counter", "increment", (5_i64,)).await.unwrap();
    let outside = world.outside();
    for name in ["kounter", "younter"] {
        std::fs::write(
            outside.join(format!("{name}.wasm")),
            renamed("counter-1.0.0", "counter", name),
        )
        .unwrap();
    }
    let text = "format = 1\n[release]\nname = \"app\"\nto = \"2.0.0\"\n".to_string()
        + &declared(&["kounter", "younter"])
        + "[[up]]\nadd_module = \"kounter\"\nstate_from = [\"counter\"]\n[[up]]\nadd_module = \"younter\"\nstate_from = [\"counter\"]\n[[up]]\ndelete_module = \"counter\"\n";
    std::fs::write(outside.join("relup.toml"), text).unwrap();
    let report = world.apply(&outside.join("relup.toml")).await.unwrap();
    assert_eq!(report.revision, Some(2));
    for name in ["kounter", "younter"] {
        let value: i64 = world.host.call(name, "increment", (1_i64,)).await.unwrap();
        assert_eq!(value, 6, "{name} has it, and is alone with it");
    }
    let world = world.restart().await;
    let value: i64 = world.host.call("younter", "get", ()).await.unwrap();
    assert_eq!(value, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn r31_two_modules_are_merged_into_one_in_one_switch() {
    let world = World::of(&["counter-1.0.0", "rooms-1.0.0"]).await;
    let outside = world.outside();
    world
        .apply_bytes("kounter.wasm", &renamed("counter-1.0.0", "counter", "kounter"))
        .await
        .unwrap();
    std::fs::write(outside.join("crowd.wasm"), gathering()).unwrap();
    let text = "format = 1\n[release]\nname = \"app\"\nto = \"2.0.0\"\n".to_string()
        + &declared(&["crowd"])
        + "[[up]]\nadd_module = \"crowd\"\nstate_from = [\"counter\", \"kounter\"]\n[[up]]\ndelete_module = \"counter\"\n[[up]]\ndelete_module = \"kounter\"\n";
    std::fs::write(outside.join("relup.toml"), text).unwrap();
    world.apply(&outside.join("relup.toml")).await.unwrap();
    let given: i64 = world.host.call("crowd", "get", ()).await.unwrap();
    assert_eq!(given, 2, "`migrate` runs once for each predecessor");
    world.host.undo(UndoRequest::default()).await.unwrap();
    assert_eq!(world.host.status().modules.len(), 3);
}

const VIA: &str = r#"
format = 1
[release]
name = "app"
to = "2.0.0"
[[modules]]
name = "counter"
path = "counter-2.0.0.wasm"
[[middle]]
name = "counter"
version = "1.1.0"
path = "counter-1.1.0.wasm"
[[up]]
update = "counter"
via = ["1.1.0"]
[[down]]
update = "counter"
via = ["1.1.0"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn r28_a_state_goes_through_a_middle_version_in_one_switch_and_back() {
    let world = World::of(&["counter-1.0.0"]).await;
    let _: i64 = world.host.call("counter", "increment", (5_i64,)).await.unwrap();
    let outside = world.outside();
    put_guests(&outside, &["counter-1.1.0", "counter-2.0.0"]);
    std::fs::write(outside.join("relup.toml"), VIA).unwrap();
    let report = world.apply(&outside.join("relup.toml")).await.unwrap();
    assert_eq!(report.revision, Some(2));
    let described: String = world.host.call("counter", "describe", ()).await.unwrap();
    assert_eq!(described, "count = 5");
    // The way back goes through it too, also when its file is gone and the host was started anew.
    std::fs::remove_dir_all(&outside).unwrap();
    let world = world.restart().await;
    world.host.undo(UndoRequest::default()).await.unwrap();
    let described: String = world.host.call("counter", "describe", ()).await.unwrap();
    assert_eq!(described, "count: 5");
    // A middle version that nobody has is named.
    let missing = VIA
        .replace("path = \"counter-1.1.0.wasm\"\n", "")
        .replace("1.1.0", "1.0.9");
    put_guests(&world.outside(), &["counter-2.0.0"]);
    std::fs::write(world.outside().join("relup.toml"), missing).unwrap();
    let failure = world.apply(&world.outside().join("relup.toml")).await.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.exit),
        ("no-middle-version", Exit::Refused),
        "{failure:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn r28_a_module_that_comes_back_has_to_read_the_state_that_was_kept_of_it() {
    let world = World::of(&["counter-1.0.0"]).await;
    let _: i64 = world.host.call("counter", "increment", (5_i64,)).await.unwrap();
    let remove = wasmhot::control::protocol::RemoveRequest {
        module: "counter".to_string(),
        ..Default::default()
    };
    world.host.remove(remove).await.unwrap();
    let failure = world.apply_bytes("counter.wasm", &reads_others()).await.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.exit),
        ("state-unreadable", Exit::Refused),
        "{failure:?}"
    );
    assert!(
        failure.message.contains("a saved state, that of counter@1.0.0"),
        "{failure:?}"
    );
    world.apply(&guest("counter-1.1.0")).await.unwrap();
    let value: i64 = world.host.call("counter", "get", ()).await.unwrap();
    assert_eq!(value, 5, "one that can takes it up");
}

/// 1.1.0, which says that it reads 9.0 where it reads 1.0.
fn reads_others() -> Vec<u8> {
    let mut bytes = std::fs::read(guest("counter-1.1.0")).unwrap();
    let section = bytes.windows(13).position(|window| window == b"wasmhot:state").unwrap();
    let described = &bytes[section..];
    let ranges = described.windows(7).position(|window| window == b"\"reads\"").unwrap();
    let old = described[ranges..]
        .windows(4)
        .position(|window| window == b"~1.0")
        .unwrap();
    bytes[section + ranges + old + 1] = b'9';
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn r04_a_version_that_does_not_read_the_state_is_refused_before_anything_unless_another_is_asked_for() {
    let world = World::of(&["counter-1.0.0"]).await;
    let _: i64 = world.host.call("counter", "increment", (5_i64,)).await.unwrap();
    let failure = world.apply_bytes("counter.wasm", &reads_others()).await.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.exit),
        ("state-unreadable", Exit::Refused),
        "{failure:?}"
    );
    assert!(
        failure.message.contains("counter@1.0.0") && failure.message.contains("~9.0"),
        "{failure:?}"
    );
    let value: i64 = world.host.call("counter", "get", ()).await.unwrap();
    assert_eq!(value, 5);
    // R27: whoever begins empty needs to read nothing.
    let request = ApplyRequest {
        path: world.outside().join("counter.wasm"),
        state: StateSource::Empty,
        allow_lossy: true,
        ..ApplyRequest::default()
    };
    world.host.apply(request).await.unwrap();
    let value: i64 = world.host.call("counter", "get", ()).await.unwrap();
    assert_eq!(value, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_that_move_together_migrate_at_the_same_time() {
    const NAMES: [&str; 2] = ["hostile", "hostila"];
    let files = NAMES.map(|name| (format!("{name}.wasm"), hostile_as(name, "1.0.0", "")));
    let world = World::of_files(&files, |builder| builder).await;
    for name in NAMES {
        let bytes = hostile_as(name, "1.0.1", "migrate=sleep:1500");
        std::fs::write(world.outside().join(format!("{name}.wasm")), bytes).unwrap();
    }
    let relup = world.outside().join("relup.toml");
    let text = "format = 1\n[release]\nname = \"both\"\nto = \"1.0.1\"\n".to_string()
        + &NAMES
            .map(|name| format!("[[modules]]\nname = \"{name}\"\npath = \"{name}.wasm\"\n"))
            .concat()
        + &NAMES.map(|name| format!("[[up]]\nupdate = \"{name}\"\n")).concat();
    std::fs::write(&relup, text).unwrap();
    let report = world.apply(&relup).await.unwrap();
    let migrations: Vec<_> = report.modules.iter().filter_map(|module| module.migrate_us).collect();
    assert_eq!(migrations.len(), 2, "{report:#?}");
    assert!(report.gate_us < migrations.iter().sum(), "{report:#?}");
}
