use crate::fixture::name;
use crate::name::Digest;
use crate::relup::tests::WHOLE;
use crate::relup::{Instruction, Relup};
use crate::settings::DirGrant;
use proptest::prelude::*;
use serde_json::json;

#[test]
fn what_is_written_is_read_back() {
    let mut relup = Relup::parse("relup.toml", WHOLE).expect("is read");
    let server = &mut relup.modules[0];
    server.version = Some("1.1.0".parse().expect("a version"));
    server.path = Some("täst \"1\".wasm".into());
    server.sha256 = Some(Digest::from_bytes([7; 32]));
    server.limits.max_pause = Some(std::time::Duration::from_millis(1500));
    server.limits.memory_max = Some(3 << 20);
    server.links.insert("demo:shop/orders@1.0.0".into(), name("receipts"));
    server.grants.dirs.push(DirGrant {
        host: "data".into(),
        guest: "/data".into(),
        write: true,
    });
    let text = relup.to_toml().expect("is written");
    insta::assert_snapshot!(text, @r#"
    format = 1

    [release]
    name = "donations"
    to = "1.1.0"

    [[modules]]
    name = "server"
    version = "1.1.0"
    path = 'täst "1".wasm'
    sha256 = "0707070707070707070707070707070707070707070707070707070707070707"
    limits = { max_pause = "1s 500ms", memory_max = "3MiB" }
    grants = { dirs = [{ guest = "/data", host = "data", write = true }] }
    links = { "demo:shop/orders@1.0.0" = "receipts" }

    [[modules]]
    name = "calculator"

    [[modules]]
    name = "receipts"

    [[up]]
    call = { args = [1, "a"], function = "expand", module = "schema" }
    undo = { args = [], function = "contract", module = "schema" }
    when = "after"

    [[up]]
    update = "server"
    extra = { currency = "USD", rate = 1.5, since = "2026-01-01" }
    state = "last-saved"

    [[up]]
    load_module = "calculator"

    [[up]]
    add_module = "receipts"
    state_from = ["server"]

    [[up]]
    delete_module = "ledger"
    purge = true

    [[up]]
    restart_module = "clock"

    [[down]]
    add_module = "ledger"

    [[down]]
    delete_module = "receipts"
    "#);
    assert_eq!(
        Relup::parse("relup.toml", &text).unwrap_or_else(|faults| panic!("{faults}")),
        relup
    );
}

#[test]
fn an_empty_extra_is_not_an_absent_one() {
    let mut relup = Relup::parse("relup.toml", WHOLE).expect("is read");
    relup.down.clear();
    for (extra, fits) in [
        (json!({}), true),
        (json!([]), true),
        (json!(null), true),
        (json!({ "a": null }), false),
    ] {
        relup.up = vec![Instruction::Update {
            module: name("server"),
            extra,
            state_from: vec![],
            state: None,
            via: vec![],
        }];
        let written = relup.to_toml();
        assert_eq!(written.is_ok(), fits);
        if let Ok(text) = written {
            assert_eq!(Relup::parse("relup.toml", &text).expect("is read"), relup);
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_back(names in prop::collection::btree_set("[a-z][a-z0-9-]{0,5}", 1..6), texts in prop::collection::vec("\\PC*|[\u{0}-\u{7f}]{0,9}", 6), number in any::<i64>()) {
        let mut relup = Relup::parse("relup.toml", WHOLE).expect("is read");
        (relup.up, relup.down, relup.modules) = (vec![], vec![], vec![]);
        for (place, text) in names.iter().enumerate() {
            let mut module = crate::settings::ModuleSpec::new(name(text));
            module.path = Some(texts[place % 6].clone());
            module.config.insert(texts[(place + 1) % 6].clone(), texts[(place + 2) % 6].as_str().into());
            relup.modules.push(module);
            let extra = json!({ texts[place % 6].clone(): [number, texts[(place + 3) % 6]], "f": 0.5 });
            relup.up.push(Instruction::Update { module: name(text), extra, state_from: vec![], state: None, via: vec![] });
            relup.down.push(Instruction::DeleteModule { module: name(text), purge: number > 0 });
        }
        let text = relup.to_toml().expect("is written");
        prop_assert_eq!(Relup::parse("relup.toml", &text).unwrap_or_else(|faults| panic!("{faults}")), relup);
    }
}
