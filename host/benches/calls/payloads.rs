//! What a call costs that carries a kilobyte or sixty-four there and back.

use super::bare::Bare;
use super::table::{self, measure, one_after_another};
use std::hint::black_box;
use std::time::Instant;
use tokio::runtime::Runtime;
use wasmhot::Host;

const FILE: &str = "mirror-1.0.0";
const INTERFACE: &str = "demo:mirror/mirror@1.0.0";

/// One function of the mirror, bare and through the library.
macro_rules! payload {
    ($runtime:ident, $host:ident, $function:literal, $size:ident, $given:ty, $taken:ty, $it:expr) => {{
        let it: $taken = $it;
        let mut sync = Bare::sync(FILE).expect("starts");
        let called = sync.function::<($given,), ($taken,)>(INTERFACE, $function);
        let mut asynchronous = $runtime.block_on(Bare::asynchronous(FILE)).expect("starts");
        let called_async = asynchronous.function::<($given,), ($taken,)>(INTERFACE, $function);
        let function = $host.function("mirror", $function);
        let rows = measure(&mut [
            ("Wasmtime, call", &mut |calls| {
                let begin = Instant::now();
                for _ in 0..calls {
                    black_box(called.call(&mut sync.store, (&it,)).expect("answers"));
                }
                begin.elapsed()
            }),
            ("Wasmtime, call_async", &mut |calls| {
                $runtime.block_on(async {
                    let begin = Instant::now();
                    for _ in 0..calls {
                        let answer = called_async.call_async(&mut asynchronous.store, (&it,));
                        black_box(answer.await.expect("answers"));
                    }
                    begin.elapsed()
                })
            }),
            ("library", &mut |calls| {
                one_after_another($runtime, calls, || async {
                    let answer: $taken = function.call((&it[..],)).await.expect("answers");
                    assert_eq!(black_box(answer).len(), it.len());
                })
            }),
        ]);
        let name = format!("payload.{}-{}k", $function, $size >> 10);
        let title = format!("pool: mirror.{}, {} KiB", $function, $size >> 10);
        table::print(&name, &title, &rows, 1);
    }};
}

pub(crate) fn costs(runtime: &Runtime, host: &Host) {
    for size in [1 << 10, 64 << 10] {
        payload!(runtime, host, "text", size, &str, String, "x".repeat(size));
        payload!(runtime, host, "bytes", size, &[u8], Vec<u8>, vec![7; size]);
    }
}
