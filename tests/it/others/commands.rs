//! Programs with a `main`: each run of one has an instance of its own, and leaving by `exit` is an answer.

use crate::made::wasm;
use crate::support::World;
use wasmhot::event::EventKind;

/// A WASI 0.1 command that traps where it is started twice in one memory, and leaves with `status`, or returns where there is none.
fn command(status: Option<u32>) -> Vec<u8> {
    let leave = status.map_or_else(String::new, |status| format!("(call $exit (i32.const {status}))"));
    wasm(&format!(
        r#"(module
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1)
          (global $begun (mut i32) (i32.const 0))
          (func (export "_start")
            (if (global.get $begun) (then unreachable))
            (global.set $begun (i32.const 1))
            {leave})
          (func (export "begun") (result i32) (global.get $begun)))"#
    ))
}

async fn world(status: Option<u32>) -> World {
    World::of_files(&[("command-1.0.0.wasm".to_owned(), command(status))], |builder| builder).await
}

/// As graphviz 0.1.4 showed: its libc starts once in a memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_main_that_returns_can_be_run_again_and_again() {
    let world = world(None).await;
    for _ in 0..3 {
        let ended: Result<(), ()> = world.host.call("command", "run", ()).await.unwrap();
        assert_eq!(ended, Ok(()));
    }
    // The instance that answers other functions is none in which a main has run.
    let begun: i32 = world.host.call("command", "begun", ()).await.unwrap();
    assert_eq!(begun, 0);
}

/// As TinyGo's programs do.
#[tokio::test(flavor = "multi_thread")]
async fn exit_is_the_answer_of_a_main_and_no_trap() {
    for (status, answer) in [(0, Ok(())), (3, Err(()))] {
        let world = world(Some(status)).await;
        let before = world.now();
        for _ in 0..2 {
            let ended: Result<(), ()> = world.host.call("command", "run", ()).await.unwrap();
            assert_eq!(ended, answer, "exit({status})");
        }
        let (events, _) = world.host.events().since(before);
        let trapped = events.iter().find(|event| event.kind == EventKind::Trapped);
        assert!(trapped.is_none(), "{trapped:#?}");
    }
}
