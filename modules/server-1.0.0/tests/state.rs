//! What 1.0.0 writes stays readable.

use std::collections::BTreeMap;

use server_1_0_0::State;
use wasmhot_guest::harness;

#[test]
fn the_format_of_this_version_stays() {
    let state = State {
        donors: BTreeMap::from([("ann".into(), 95), ("bob".into(), 190)]),
        total: 285,
    };
    harness::write_fixture("../fixtures/server", &state);
    assert_eq!(harness::check_reads::<State>("../fixtures/server")[0].1, state);
}
