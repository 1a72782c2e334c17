//! The faults themselves: each is something that real guests do by accident.

use std::hint::black_box;
use std::time::Duration;

/// Misbehaves; an unknown kind does nothing and is given back.
///
/// # Errors
/// If the kind is `err`.
pub(crate) fn cause(kind: &str) -> Result<String, String> {
    match kind {
        "trap" => trap(),
        "loop" => spin(),
        "grow" => grow(),
        "block" => block(),
        "err" => Err("hostile: err".into()),
        _ => {
            if let Some(milliseconds) = kind.strip_prefix("sleep:").and_then(|text| text.parse().ok()) {
                std::thread::sleep(Duration::from_millis(milliseconds));
            }
            Ok(kind.into())
        }
    }
}

#[cfg(target_family = "wasm")]
fn trap() -> ! {
    std::arch::wasm32::unreachable()
}

#[cfg(not(target_family = "wasm"))]
fn trap() -> ! {
    std::process::abort()
}

/// In Wasm code for ever.
fn spin() -> ! {
    let mut round = 0_u64;
    loop {
        round = black_box(round.wrapping_add(1));
    }
}

/// Takes memory and touches it, until there is none: then the allocator aborts.
fn grow() -> ! {
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// In a host call for ever.
fn block() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}
