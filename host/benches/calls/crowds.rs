//! Many clients at once.

use super::kinds::{SUBJECTS, library};
use super::table::{line, median};
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Runtime;
use wasmhot::Host;

/// Eight clients at once on each kind: calls in a second.
pub(crate) fn rates(runtime: &Runtime, host: &Host) {
    println!("\n8 clients at once, through the library         calls/s");
    for subject in &SUBJECTS {
        let function = Arc::new(subject.function(host));
        let rates = (0..9).map(|_| {
            let calls = 4000_u32;
            let begin = Instant::now();
            runtime.block_on(async {
                let clients = (0..8).map(|_| {
                    let (function, module) = (Arc::clone(&function), subject.module);
                    tokio::spawn(async move {
                        for _ in 0..calls {
                            library(&function, module).await;
                        }
                    })
                });
                for client in clients.collect::<Vec<_>>() {
                    client.await.expect("ends");
                }
            });
            f64::from(8 * calls) / begin.elapsed().as_secs_f64()
        });
        let rate = median(rates.collect());
        println!("{:<42} {rate:>12.0}", subject.title);
        line(&format!("crowds.{}", subject.kind), rate, "1/s");
    }
}
