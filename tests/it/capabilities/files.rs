//! `wasi:filesystem`, arguments, environment; and what everybody has.

use super::{call, denials, explorer, release};
use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn r08_directories_are_what_is_granted() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), "text").unwrap();
    let denied = explorer("").await;
    assert!(call(&denied, "read(\"/data/a\")").await.starts_with("err("));
    // The host is not asked: nothing is told, and nothing counts as denied.
    assert_eq!(denials(&denied), []);

    let host = folder.path().display();
    let world = explorer(&format!(
        "[modules.grants]\ndirs = [{{ host = \"{host}\", guest = \"/data\" }}]"
    ))
    .await;
    assert_eq!(call(&world, "read(\"/data/a\")").await, "ok(\"text\")");
    assert!(call(&world, "write(\"/data/b\", \"text\")").await.starts_with("err("));
    assert!(
        call(&world, "read(\"/data/../../etc/passwd\")")
            .await
            .starts_with("err(")
    );
    let world = explorer(&format!(
        "[modules.grants]\ndirs = [{{ host = \"{host}\", guest = \"/data\", write = true }}]"
    ))
    .await;
    assert_eq!(call(&world, "write(\"/data/b\", \"more\")").await, "ok");
    assert_eq!(std::fs::read_to_string(folder.path().join("b")).unwrap(), "more");
    assert_eq!(denials(&world), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_arguments_and_environment_are_what_is_granted_clocks_and_chance_are_everybodys() {
    let world = explorer("[modules.grants]\nargs = [\"--fast\", \"a b\"]\nenv = { LANG = \"C\" }").await;
    assert_eq!(call(&world, "args()").await, r#"["explorer", "--fast", "a b"]"#);
    assert_eq!(call(&world, "env(\"LANG\")").await, "some(\"C\")");
    assert_eq!(call(&world, "env(\"PATH\")").await, "none");
    let world = World::release(&release(""), &["explorer-1.0.0"]).await;
    assert_eq!(call(&world, "args()").await, r#"["explorer"]"#);
    assert_eq!(call(&world, "env(\"LANG\")").await, "none");
    let both = [
        call(&world, "clock-and-chance()").await,
        call(&world, "clock-and-chance()").await,
    ];
    assert_ne!(both[0], both[1]);
    assert_eq!(denials(&world), []);
}
