//! Releases that are installed while a host runs: it knows them by name.

use super::plan::running;
use super::{Offline, put_donations};
use crate::support::Binary;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Donations in this version, packed.
fn packed(offline: &Offline, version: &str) -> PathBuf {
    std::fs::copy(
        offline.path(&format!("app/release-{version}.toml")),
        offline.path("app/release.toml"),
    )
    .unwrap();
    let pack = format!("donations-{version}.tar.zst");
    offline.ok(&["pack", "app", "-o", &pack]);
    offline.path(&pack)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Installs a pack beside a host, which is told.
fn install(host: &Binary, pack: &Path, folder: &str) -> (PathBuf, Value) {
    let folder = host.root().join(folder);
    let (exit, told) = host.json(&["install", text(pack), "--to", text(&folder)]);
    assert_eq!(exit, 0, "{told:#}");
    (folder, told)
}

fn releases(host: &Binary, status: &str) -> Vec<Value> {
    let (_, told) = host.json(&["releases", "--status", status]);
    told["releases"].as_array().unwrap().clone()
}

#[test]
fn an_installed_release_is_listed_planned_checked_applied_and_forgotten_by_its_name() {
    let offline = Offline::donations();
    let pack = packed(&offline, "1.1.0");
    let (host, other) = (running("1.0.0"), running("1.0.0"));
    assert!(releases(&host, "unpacked").is_empty());
    let (folder, told) = install(&host, &pack, "new");
    assert_eq!(told["known_as"], "donations@1.1.0");
    // Again is the same.
    let (_, told) = install(&host, &pack, "new");
    assert_eq!(
        (&told["already"], &told["known_as"]),
        (&json!(true), &json!("donations@1.1.0"))
    );
    let unpacked = releases(&host, "unpacked");
    assert_eq!(unpacked.len(), 1, "{unpacked:#?}");
    assert_eq!(
        (
            &unpacked[0]["release"],
            &unpacked[0]["version"],
            &unpacked[0]["revision"]
        ),
        (&json!("donations"), &json!("1.1.0"), &Value::Null)
    );
    assert_eq!(unpacked[0]["folder"], json!(folder.canonicalize().unwrap()));
    let listed = host.ok(&["releases"]);
    let rows: Vec<_> = listed
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .collect();
    assert_eq!(rows[1][..3], ["*", "1", "permanent"], "{listed}");
    assert_eq!(rows[2][..4], ["-", "unpacked", "donations", "1.1.0"], "{listed}");

    let host = {
        host.ok(&["stop"]);
        host.again(&[])
    };
    let file = host.root().join("relup.toml");
    for name in ["donations@1.1.0", "donations-1.1.0"] {
        let said = host.ok(&["plan", "current", name, "-o", text(&file)]);
        assert!(said.contains("donations 1.0.0 -> donations 1.1.0"), "{said}");
        let said = host.ok(&["check", name]);
        assert!(
            said.contains("good, up and down: donations 1.0.0 -> donations 1.1.0"),
            "{said}"
        );
    }
    host.ok(&["call", "server", "donate(\"ann\", 1000)"]);
    host.ok(&["apply", "donations@1.1.0", "--dry-run"]);
    assert_eq!(releases(&host, "unpacked").len(), 1);
    host.ok(&["apply", "donations@1.1.0"]);
    let (_, status) = host.json(&["status"]);
    assert_eq!(status["release"], "donations 1.1.0");
    assert_eq!(host.ok(&["call", "server", "donors()"]), "[\"ann: 950\"]\n");
    assert!(releases(&host, "unpacked").is_empty());
    assert_eq!(
        releases(&host, "permanent")[0]["folder"],
        json!(folder.canonicalize().unwrap())
    );
    // It can be gone to again.
    host.ok(&["undo"]);
    host.ok(&["apply", "donations-1.1.0"]);
    assert_eq!(host.ok(&["call", "server", "donors()"]), "[\"ann: 950\"]\n");

    let said = host.ok(&["forget", "donations@1.1.0"]);
    assert!(said.contains("its directory stays"), "{said}");
    assert!(folder.join("release.toml").is_file());
    let (exit, said) = host.fails(&["forget", "donations@1.1.0"]);
    assert_eq!(exit, 4);
    assert!(said.contains("installed are: none"), "{said}");
    // The other host was never told.
    assert!(releases(&other, "unpacked").is_empty());
    for verb in [
        &["apply", "donations@1.1.0"][..],
        &["check", "donations@1.1.0"],
        &["plan", "current", "donations@1.1.0"],
    ] {
        let (exit, said) = other.fails(verb);
        assert_eq!(exit, 4);
        assert!(
            said.contains(
                "there is no such file or directory, and no installed release of that name; installed are: none"
            ),
            "{said}"
        );
    }
}

#[test]
fn without_a_host_a_release_is_installed_all_the_same() {
    let offline = Offline::donations();
    packed(&offline, "1.1.0");
    let (code, _, said) = offline.cli(&["install", "donations-1.1.0.tar.zst"]);
    assert_eq!(code, 0);
    assert!(said.contains("no host is running here"), "{said}");
    let (code, told) = offline.json(&["install", "donations-1.1.0.tar.zst"]);
    assert_eq!((code, &told["known_as"]), (0, &Value::Null));
    let said = offline.refused(&["plan", "app/release-1.0.0.toml", "donations@1.1.0"]);
    assert!(said.contains("no host is running here that could know"), "{said}");
    // By its directory.
    offline.ok(&["plan", "app/release-1.0.0.toml", "donations-1.1.0"]);
}

#[test]
fn a_directory_that_is_gone_or_anothers_is_no_installed_release() {
    let offline = Offline::donations();
    let host = running("1.0.0");
    let (gone, _) = install(&host, &packed(&offline, "1.1.0"), "gone");
    let (changed, _) = install(&host, &packed(&offline, "1.2.0"), "changed");
    assert_eq!(releases(&host, "unpacked").len(), 2);
    let backup = host.root().join("backup");
    host.ok(&["backup", text(&backup)]);
    // A restored host knows them too.
    let restored = Binary::prepared(put_donations, &["--restore", text(&backup)]);
    assert_eq!(releases(&restored, "unpacked").len(), 2);

    std::fs::remove_dir_all(&gone).unwrap();
    let release = changed.join("release.toml");
    let old = std::fs::read_to_string(&release).unwrap();
    std::fs::write(&release, old.replace("version = \"1.2.0\"", "version = \"1.3.0\"")).unwrap();
    assert!(releases(&host, "unpacked").is_empty());
    let (exit, said) = host.fails(&["apply", "donations@1.1.0"]);
    assert_eq!(exit, 4, "{said}");
    // What is there again is known again, until it is swept.
    std::fs::write(&release, &old).unwrap();
    assert_eq!(releases(&host, "unpacked").len(), 1);
    let (_, swept) = host.json(&["gc"]);
    assert_eq!(swept["releases"], json!(["donations@1.1.0"]));
    assert_eq!(releases(&host, "unpacked").len(), 1);
    // A module of it is missing.
    std::fs::remove_file(changed.join("server-1.2.0.wasm")).unwrap();
    assert!(releases(&host, "unpacked").is_empty());
}

#[test]
fn r28_a_pack_brings_the_relup_and_the_versions_that_states_go_through() {
    let offline = Offline::donations();
    // 1.2.0 knows 1.1.0 only, which lies in the same folder and knows 1.0.0.
    let appup = offline.read("app/server-1.2.0.appup.toml");
    let (head, rest) = appup.split_once("[[up]]\nfrom = \"~1.0\"").unwrap();
    let (_, down) = rest.split_once("[[down]]").unwrap();
    let down = down.replace(">=1.0.0, <1.2.0", "~1.1");
    offline.write("app/server-1.2.0.appup.toml", format!("{head}[[down]]{down}"));
    offline.ok(&[
        "plan",
        "app/release-1.0.0.toml",
        "app/release-1.2.0.toml",
        "-o",
        "app/relup.toml",
    ]);
    let pack = packed(&offline, "1.2.0");
    let host = running("1.0.0");
    let (folder, _) = install(&host, &pack, "new");
    for file in ["relup.toml", "server-1.1.0.wasm", "server-1.2.0.wasm"] {
        assert!(folder.join(file).is_file(), "{file}");
    }
    host.ok(&["call", "server", "donate(\"ann\", 1000)"]);
    let said = host.ok(&["check", "donations@1.2.0"]);
    assert!(said.contains("good"), "{said}");
    host.ok(&["apply", "donations@1.2.0"]);
    assert_eq!(host.ok(&["call", "server", "donors()"]), "[\"ann: 950\"]\n");
    // A relup that leads elsewhere is not packed; one that names what cannot be packed is refused.
    let pack = packed(&offline, "1.1.0");
    let (folder, _) = install(&host, &pack, "other");
    assert!(!folder.join("relup.toml").exists());
    let relup = offline
        .read("app/relup.toml")
        .replace("\"server-1.1.0.wasm\"", "\"../server-1.1.0.wasm\"");
    offline.write("app/relup.toml", relup);
    std::fs::copy(offline.path("app/server-1.1.0.wasm"), offline.path("server-1.1.0.wasm")).unwrap();
    std::fs::copy(offline.path("app/release-1.2.0.toml"), offline.path("app/release.toml")).unwrap();
    let said = offline.refused(&["pack", "app"]);
    assert!(
        said.contains("it leads out of the directory") && said.contains("help: "),
        "{said}"
    );
}
