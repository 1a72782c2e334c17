//! The least that a host can do between two modules: a function in the one's linker that calls the other's instance, with types that
//! are known when this is compiled, and a lock around it.

use super::bare::{Bare, Data};
use std::sync::{Arc, Mutex};
use wasmtime::component::Linker;

/// Gives `$linker` the functions of the callee.
macro_rules! functions {
    ($linker:ident, $callee:ident, $define:ident) => {{
        let mut calc = $linker.instance(INTERFACE)?;
        $define!(calc, $callee, "f", i32);
        $define!(calc, $callee, "text", String);
        $define!(calc, $callee, "bytes", Vec<u8>);
        Ok(())
    }};
}

const INTERFACE: &str = "demo:pair/calc";

/// By `call`, which no guest can suspend.
pub(crate) async fn sync(caller: &[u8], callee: &[u8]) -> wasmtime::Result<Bare> {
    let callee = Arc::new(Mutex::new(Bare::sync_of_bytes(callee)?));
    macro_rules! define {
        ($calc:ident, $callee:ident, $name:literal, $type:ty) => {
            let function = lock(&$callee).function::<($type,), ($type,)>(INTERFACE, $name);
            let callee = Arc::clone(&$callee);
            $calc.func_wrap($name, move |_, given: ($type,)| {
                function.call(&mut lock(&callee).store, given)
            })?;
        };
    }
    Bare::importing(caller, |linker| functions!(linker, callee, define)).await
}

/// By `call_async`, as a host must where guests may wait.
pub(crate) async fn asynchronous(caller: &[u8], callee: &[u8]) -> wasmtime::Result<Bare> {
    let callee = Arc::new(tokio::sync::Mutex::new(Bare::of_bytes(callee).await?));
    macro_rules! define {
        ($calc:ident, $callee:ident, $name:literal, $type:ty) => {
            let function = $callee
                .try_lock()
                .expect("is free")
                .function::<($type,), ($type,)>(INTERFACE, $name);
            let callee = Arc::clone(&$callee);
            $calc.func_wrap_async($name, move |_, given: ($type,)| {
                let callee = Arc::clone(&callee);
                Box::new(async move {
                    let mut callee = callee.lock().await;
                    function.call_async(&mut callee.store, given).await
                })
            })?;
        };
    }
    Bare::importing(caller, |linker: &mut Linker<Data>| functions!(linker, callee, define)).await
}

fn lock(callee: &Mutex<Bare>) -> std::sync::MutexGuard<'_, Bare> {
    callee.lock().expect("no panic under this lock")
}
