//! Values cross from module to module (R7): the relay (`modules/relay-1.0.0`) passes what it gets on to the mirror of another module, and
//! gives back what that gives.

use crate::support::World;
use wasmhot::control::protocol::CallRequest;

/// Calls, and what they give where that is not the argument itself.
const CALLS: &[(&str, &[&str], Option<&str>)] = &[
    ("bools", &["true"], None),
    ("bools", &["false"], None),
    ("small", &["-128", "255", "-32768", "65535"], None),
    ("small", &["127", "0", "32767", "0"], None),
    (
        "large",
        &[
            "-2147483648",
            "4294967295",
            "-9223372036854775808",
            "18446744073709551615",
        ],
        None,
    ),
    ("floats", &["-0.5", "1.7976931348623157"], None),
    ("floats", &["inf", "-inf"], None),
    ("floats", &["nan", "nan"], None),
    ("chars", &["'a'"], None),
    ("chars", &["'é'"], None),
    ("chars", &["'\u{10fffd}'"], Some("'\\u{10fffd}'")),
    ("text", &["\"\""], None),
    ("text", &["\"é, 漢字 and 🦀\""], None),
    ("bytes", &["[]"], None),
    ("bytes", &["[0, 1, 255]"], None),
    ("numbers", &["[-9223372036854775808, 0, 9223372036854775807]"], None),
    ("texts", &["[\"\", \"é\", \"🦀🦀\"]"], None),
    (
        "points",
        &["[{x: -1, y: 0.25, label: \"é\"}, {x: 2147483647, y: -inf, label: \"\"}]"],
        None,
    ),
    (
        "deep",
        &["{at: {x: 1, y: 2, label: \"here\"}, tags: [\"a\", \"b\"], next: some(18446744073709551615)}"],
        None,
    ),
    ("deep", &["{at: {x: 1, y: 2, label: \"\"}, tags: []}"], None),
    (
        "shapes",
        &["[dot, circle(0.5), named(\"é\"), line(({x: 1, y: 2, label: \"from\"}, {x: 3, y: 4, label: \"to\"}))]"],
        None,
    ),
    ("colours", &["blue"], None),
    ("allowed", &["{}"], None),
    ("allowed", &["{read, run}"], None),
    ("perhaps", &["none"], None),
    ("perhaps", &["some(none)"], None),
    ("perhaps", &["some(some(\"🦀\"))"], None),
    ("whether", &["ok([1, 4294967295])"], None),
    ("whether", &["err(named(\"no\"))"], None),
    ("neither", &["ok"], None),
    ("neither", &["err"], None),
    // More arguments than fit on the stack.
    (
        "many",
        &[
            "1",
            "2",
            "3",
            "4",
            "5",
            "6",
            "7",
            "8",
            "\"i\"",
            "\"j\"",
            "\"k\"",
            "\"l\"",
            "{x: 0, y: 0, label: \"m\"}",
        ],
        Some("[(1, \"i\"), (2, \"j\"), (3, \"k\"), (4, \"l\"), (26, \"m\")]"),
    ),
    ("nothing", &[], Some("")),
];

async fn ask(world: &World, module: &str, function: &str, args: &[&str]) -> String {
    let call = format!("{function}({})", args.join(", "));
    let request = CallRequest {
        module: module.into(),
        call: Some(call.clone()),
        function: None,
        args: None,
        deadline_ms: None,
    };
    let answer = world.host.call_text(request).await;
    let answer = answer.unwrap_or_else(|error| panic!("{module} {call}: {error}"));
    answer.wave.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn r07_every_type_that_may_cross_crosses_unchanged() {
    let world = World::of(&["mirror-1.0.0", "relay-1.0.0"]).await;
    for (function, args, wanted) in CALLS {
        let given = match args {
            [one] => (*one).to_string(),
            several => format!("({})", several.join(", ")),
        };
        let wanted = wanted.unwrap_or(&given);
        for module in ["mirror", "relay"] {
            assert_eq!(
                ask(&world, module, function, args).await,
                wanted,
                "{module}: {function}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r07_large_values_cross_too() {
    let world = World::of(&["mirror-1.0.0", "relay-1.0.0"]).await;
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let back: Vec<u8> = world.host.call("relay", "bytes", (bytes.clone(),)).await.unwrap();
    assert!(back == bytes);
    let texts: Vec<String> = (0..10_000).map(|n| format!("é{n}🦀")).collect();
    let back: Vec<String> = world.host.call("relay", "texts", (texts.clone(),)).await.unwrap();
    assert_eq!(back, texts);
}
