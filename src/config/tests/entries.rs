//! What is wrong with a key or an endpoint.

use super::*;

#[test]
fn what_is_wrong_with_a_key_or_an_endpoint_is_named() {
    let key = |lines: &str| format!("[[keys]]\nname = \"a\"\nscopes = [\"read\"]\n{lines}");
    let standard = |lines: &str| format!("[endpoints.e]\n{lines}\nsecrets = [\"{STANDARD}\"]");
    let cases = [
        (key("key = \"short\""), "4: keys[0].key: expected a key of at least 16 characters"),
        (
            key(""),
            "1: keys[0].key: is missing; expected a key of at least 16 characters, or \
             `key_sha256`",
        ),
        (
            key("key_sha256 = \"abc\""),
            "4: keys[0].key_sha256: expected the 64 hex digits of the key's SHA-256",
        ),
        (
            key("key = \"0123456789abcdef\"\nscope = []"),
            "5: keys[0].scope: unknown key; did you mean `scopes`?",
        ),
        (
            key("key = \"0123456789abcdef\"").replace("read", "raed"),
            "3: keys[0].scopes[0]: expected `read`, `write` or `admin`, found \"raed\"; did \
             you mean \
          `read`?",
        ),
        (
            key("key = \"0123456789abcdef\"").replace("\"read\"", ""),
            "3: keys[0].scopes: is empty; expected a list of `read`, `write` or `admin`",
        ),
        (
            standard("url = \"http://shop.example\""),
            "2: endpoints.e.url: expected an https URL without credentials (plain http needs \
          `allow_private = true`)",
        ),
        (
            standard("url = \"https://me:hidden@shop.example\""),
            "2: endpoints.e.url: expected an https URL without credentials (plain http needs \
          `allow_private = true`)",
        ),
        (
            standard("url = \"https://10.0.0.5/\""),
            "2: endpoints.e.url: 10.0.0.5 is not a public address; write `allow_private = true` \
             if it is meant",
        ),
        (
            standard("url = \"https://backend.internal/\""),
            "2: endpoints.e.url: names a host of this machine or network; write \
             `allow_private = true` if it is meant",
        ),
        (
            standard("url = \"https://a.b\"\ndialect = \"standrd\""),
            "3: endpoints.e.dialect: expected `standard` or `amn`, found \"standrd\"; did you \
             mean \
          `standard`?",
        ),
        (
            standard("url = \"https://a.b\"\nevents = [\"payment.confirm\"]"),
            "3: endpoints.e.events[0]: is no event type; did you mean `payment.confirmed`?",
        ),
        (
            standard("url = \"https://a.b\"\nsignature = {}"),
            "3: endpoints.e.signature: is for `dialect = \"amn\"`; `standard` has a fixed one",
        ),
        (
            standard("url = \"https://a.b\"").replace("whsec_", ""),
            "3: endpoints.e.secrets[0]: expected secrets `whsec_` + base64 of 24 to 64 bytes",
        ),
        (
            "[endpoints.e]\nurl = \"https://a.b\"".to_owned(),
            "1: endpoints.e.secrets: is missing; expected a list of secrets `whsec_` + base64 \
             of 24 \
          to 64 bytes",
        ),
        (
            "[endpoints.e]\nurl = \"https://a.b\"\nsecrets = []".to_owned(),
            "3: endpoints.e.secrets: is empty; expected a list of secrets `whsec_` + base64 \
             of 24 to \
          64 bytes",
        ),
    ];
    for (text, expected) in cases {
        let error = parse(&text).expect_err(expected);
        assert_eq!(error.to_string(), format!("{FILE}:{expected}"), "\n{text}");
    }
}

#[test]
fn an_endpoint_at_a_private_address_is_taken_where_it_is_meant() {
    let text = "[endpoints.e]\nurl = \"https://10.0.0.5/\"\nsecrets = [\"x\"]\n\
                dialect = \"amn\"\nallow_private = true\n";
    let config = parse(text).expect("right");
    assert_eq!(config.endpoints["e"].url.as_str(), "https://10.0.0.5/");
}
