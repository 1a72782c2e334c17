//! A porter without state, version 1.0.0: calls another module several times at once (WASI 0.3).

use bindings::demo::lounge::lounge;
use futures_util::future::join;

struct Porter;

wasmhot_guest::module! {
    name: "porter",
    world: "porter",
    exports: Porter,
}

impl bindings::Guest for Porter {
    async fn send_two() -> u32 {
        let parties = lounge::meet(1).await + 1;
        let (one, other) = join(lounge::meet(parties + 1), lounge::meet(parties + 1)).await;
        one.max(other)
    }

    fn send_one() -> u32 {
        lounge::come()
    }
}
