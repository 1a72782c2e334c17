use super::{HttpGrant, SocketGrant, SocketUse};
use proptest::prelude::*;

fn socket(text: &str) -> SocketGrant {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn http(text: &str) -> HttpGrant {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn r08_a_socket_is_granted_for_what_is_written_and_nothing_else() {
    let table = [
        ("tcp://10.0.0.7:5432", "10.0.0.7:5432", true),
        ("tcp://10.0.0.7:5432", "10.0.0.8:5432", false),
        ("tcp://10.0.0.7:5432", "10.0.0.7:5433", false),
        ("tcp://10.0.0.7:5432", "[::ffff:10.0.0.7]:5432", true),
        ("tcp://10.0.0.0/8:*", "10.255.1.1:1", true),
        ("tcp://10.0.0.0/8:*", "11.0.0.1:1", false),
        ("tcp://0.0.0.0/0:80-90", "200.1.2.3:85", true),
        ("tcp://0.0.0.0/0:80-90", "[::1]:85", false),
        ("tcp://[fd00::]/8:443", "[fdff::1]:443", true),
        ("tcp://[fd00::]/8:443", "[fe00::1]:443", false),
        ("tcp://*:443", "[2001:db8::1]:443", true),
        ("tcp://localhost:443", "127.0.0.1:443", false),
        ("udp://10.0.0.7:5432", "10.0.0.7:5432", false),
        ("tcp-listen://10.0.0.7:5432", "10.0.0.7:5432", false),
    ];
    for (grant, address, allowed) in table {
        let address = address.parse().expect("an address");
        assert_eq!(
            socket(grant).allows(SocketUse::Tcp, address),
            allowed,
            "{grant} {address}"
        );
    }
    assert!(socket("tcp://db.internal:5432").needs_name("DB.internal."));
    assert!(!socket("tcp://db.internal:5432").needs_name("a.db.internal"));
    assert!(socket("udp://*.db.internal:53").needs_name("a.db.internal"));
    assert!(!socket("udp://*.db.internal:53").needs_name("db.internal"));
    assert!(!socket("udp://*.db.internal:53").needs_name("xdb.internal"));
    assert!(socket("tcp://db.internal:5432").is_by_name(SocketUse::Tcp, 5432));
    assert!(!socket("tcp://*:5432").is_by_name(SocketUse::Tcp, 5432));
    assert!(!socket("tcp-listen://*:5432").needs_name("db.internal"));
}

#[test]
fn r08_a_request_is_granted_by_scheme_host_port_and_path() {
    let table = [
        ("https://api.example.com", (true, "api.example.com", 443, "/x"), true),
        ("https://api.example.com", (true, "API.example.com", 443, "/"), true),
        ("https://api.example.com", (false, "api.example.com", 443, "/"), false),
        ("https://api.example.com", (true, "api.example.com", 8443, "/"), false),
        (
            "https://api.example.com",
            (true, "api.example.com.evil.net", 443, "/"),
            false,
        ),
        ("https://*.example.com", (true, "a.b.example.com", 443, "/"), true),
        ("https://*.example.com", (true, "example.com", 443, "/"), false),
        ("https://*.example.com", (true, "evilexample.com", 443, "/"), false),
        ("http://127.0.0.1:8080/v1", (false, "127.0.0.1", 8080, "/v1"), true),
        ("http://127.0.0.1:8080/v1/", (false, "127.0.0.1", 8080, "/v1/x"), true),
        ("http://127.0.0.1:8080/v1", (false, "127.0.0.1", 8080, "/v10"), false),
        (
            "http://127.0.0.1:8080/v1",
            (false, "127.0.0.1", 8080, "/v1/../admin"),
            false,
        ),
        (
            "http://127.0.0.1:8080/v1",
            (false, "127.0.0.1", 8080, "/v1/%2E%2e/admin"),
            false,
        ),
        (
            "http://127.0.0.1:8080/v1",
            (false, "127.0.0.1", 8080, "/v1/..%2fadmin"),
            false,
        ),
        (
            "http://127.0.0.1:8080/v1",
            (false, "127.0.0.1", 8080, "/v1/..;x/admin"),
            false,
        ),
        (
            "http://127.0.0.1:8080",
            (false, "127.0.0.1", 8080, "/v1/../admin"),
            true,
        ),
        ("http://10.0.0.0/8", (false, "10.0.0.1", 80, "/8"), false),
        ("http://[::1]:*", (false, "[::1]", 9, "/"), true),
        ("http://127.0.0.1", (false, "localhost", 80, "/"), false),
        ("http://*", (false, "anything", 80, "/"), true),
        ("http://*", (false, "anything", 81, "/"), false),
    ];
    for (grant, (tls, host, port, path), allowed) in table {
        assert_eq!(
            http(grant).allows(tls, host, port, path),
            allowed,
            "{grant} {host}:{port}{path}"
        );
    }
}

#[test]
fn r08_what_cannot_be_meant_is_told() {
    for (text, says) in [
        ("db.internal:5432", "write \"tcp://db.internal:5432\" to connect"),
        ("tpc://db:1", "tcp://, udp://, tcp-listen://, udp-listen://"),
        ("tcp://db.internal", "says no port"),
        ("tcp://[::1]", "says no port"),
        ("tcp://db:99999", "is no port"),
        ("tcp://db:90-80", "is no port"),
        ("tcp://10.0.0.0/33:1", "a number from 0 to 32"),
        ("tcp://a..b:1", "is no host"),
        ("tcp://:1", "is no host"),
        ("tcp-listen://db:1", "not a name"),
    ] {
        let error = text.parse::<SocketGrant>().expect_err(text);
        assert!(error.contains(says), "{text}: {error}");
    }
    for (text, says) in [
        ("api.example.com", "write \"https://api.example.com\""),
        ("ftp://x", "write \"https://api.example.com\""),
        ("https://user@host", "nothing else"),
        ("https://host/?q=1", "nothing else"),
        ("https://host/a/../b", "nothing else"),
        ("https://", "is no host"),
        ("http://ho st", "is no host"),
    ] {
        let error = text.parse::<HttpGrant>().expect_err(text);
        assert!(error.contains(says), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn r08_what_is_read_is_written_the_same_again(text in "(tcp|udp|tcp-listen|https?)://(\\*|\\*\\.a\\.b|a-1|[0-9]{1,3}\\.0\\.0\\.1|10\\.0\\.0\\.0/[0-9]{1,2}|\\[fd00::[0-9a-f]?\\](/[0-9]{1,3})?)(:[0-9*]{1,5}|:1-9)?(/[a-c./]{0,5})?") {
        if let Ok(grant) = text.parse::<SocketGrant>() {
            prop_assert_eq!(socket(&grant.to_string()), grant);
        }
        if let Ok(grant) = text.parse::<HttpGrant>() {
            prop_assert_eq!(http(&grant.to_string()), grant);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC*") {
        let _ = text.parse::<SocketGrant>();
        let _ = text.parse::<HttpGrant>();
        let _ = format!("tcp://{text}:1").parse::<SocketGrant>();
        let _ = format!("http://{text}").parse::<HttpGrant>();
        let _ = http("http://*:*/v1").allows(false, &text, 1, &text);
        let _ = http("http://*.a:*").allows(false, &text, 1, &text);
    }
}
