//! Which URLs may be called (F18).
//!
//! A URL is checked when it is configured and again before each attempt; a host name when it is
//! resolved.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// The longest URL that is taken, in bytes.
const MAX_URL: usize = 2_048;

/// Why a URL may not be called: the rule that it breaks. The URL itself is not shown (I12).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It cannot be read.
    #[error("expected an absolute URL: {0}")]
    Malformed(#[from] url::ParseError),
    /// It is too long.
    #[error("expected at most {MAX_URL} bytes")]
    TooLong,
    /// It is neither https nor http.
    #[error("expected https, found the scheme `{0}`")]
    Scheme(String),
    /// It is plain http where that is not allowed.
    #[error("expected https; plain http needs allow_private")]
    PlainHttp,
    /// It holds a user name or a password.
    #[error("credentials in a URL are not allowed")]
    Credentials,
    /// Its host is an address that is not public.
    #[error("{0} is not a public address")]
    NotPublic(IpAddr),
    /// Its host is a name that never is public.
    #[error("`{0}` names a host of this machine or network")]
    LocalName(String),
}

/// Reads the URL of an endpoint or callback, and refuses one that may not be called. Whether a
/// name leads to a public address is seen when it is called.
///
/// # Errors
/// The rule that it breaks.
pub fn check_url(text: &str, allow_private: bool) -> Result<Url, UrlError> {
    if text.len() > MAX_URL {
        return Err(UrlError::TooLong);
    }
    let url = Url::parse(text)?;
    check_read_url(&url, allow_private)?;
    Ok(url)
}

/// As [`check_url`], for a URL that was read before.
pub(crate) fn check_read_url(url: &Url, allow_private: bool) -> Result<(), UrlError> {
    match url.scheme() {
        "https" => {}
        "http" if allow_private => {}
        "http" => return Err(UrlError::PlainHttp),
        other => return Err(UrlError::Scheme(other.to_owned())),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlError::Credentials);
    }
    let address = match url.host() {
        None => return Err(UrlError::Malformed(url::ParseError::EmptyHost)),
        _ if allow_private => return Ok(()),
        Some(Host::Domain(name)) if is_local(name) => {
            return Err(UrlError::LocalName(name.to_owned()));
        }
        Some(Host::Domain(_)) => return Ok(()),
        // The parser has read `0x7f.1`, `2130706433` and their like into plain addresses.
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
    };
    if is_public(address) { Ok(()) } else { Err(UrlError::NotPublic(address)) }
}

/// Names that by RFC 6761, RFC 6762 and custom lead nowhere public.
fn is_local(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or(name);
    matches!(last, "localhost" | "local" | "internal" | "lan" | "home" | "corp")
        || name.ends_with(".home.arpa")
}

/// Whether an address is one of the public internet, and of it alone: by the special-purpose
/// registries of RFC 6890 and what clouds use besides.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Network and prefix length.
const NOT_PUBLIC_V4: [([u8; 4], u32); 16] = [
    ([0, 0, 0, 0], 8),        // this network
    ([10, 0, 0, 0], 8),       // private
    ([100, 64, 0, 0], 10),    // carrier-grade NAT
    ([127, 0, 0, 0], 8),      // loopback
    ([168, 63, 129, 16], 32), // Azure's host
    ([169, 254, 0, 0], 16),   // link-local, and clouds' metadata
    ([172, 16, 0, 0], 12),    // private
    ([192, 0, 0, 0], 24),     // protocol assignments
    ([192, 0, 2, 0], 24),     // documentation
    ([192, 88, 99, 0], 24),   // 6to4 relays
    ([192, 168, 0, 0], 16),   // private
    ([198, 18, 0, 0], 15),    // benchmarks
    ([198, 51, 100, 0], 24),  // documentation
    ([203, 0, 113, 0], 24),   // documentation
    ([224, 0, 0, 0], 4),      // multicast
    ([240, 0, 0, 0], 4),      // reserved, and broadcast
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = u32::from(address);
    !NOT_PUBLIC_V4.iter().any(|&(network, length)| {
        let network = u32::from(Ipv4Addr::from(network));
        (bits ^ network) >> (32 - length) == 0
    })
}

/// Of the global unicast space 2000::/3, what is not public. Everything outside it is not either:
/// loopback, unique-local, link-local, multicast, IPv4-mapped and -compatible, NAT64.
const NOT_PUBLIC_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocols, Teredo among them
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4: any IPv4 address in disguise
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

fn is_public_v6(address: Ipv6Addr) -> bool {
    let bits = u128::from(address);
    let within =
        |&(network, length): &(Ipv6Addr, u32)| (bits ^ u128::from(network)) >> (128 - length) == 0;
    within(&(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3)) && !NOT_PUBLIC_V6.iter().any(within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_public_f18() {
        let refused = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.170",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:0:53aa:64c:0:7fff:80ff:fffe",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:808:808::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
            "e000::1",
        ];
        for text in refused {
            assert!(!is_public(text.parse().expect(text)), "{text} is not public");
        }
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.17",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2400:cb00::1",
            "2606:4700:4700::1111",
            "2a00:1450::1",
            "3ffe::1",
        ];
        for text in public {
            assert!(is_public(text.parse().expect(text)), "{text} is public");
        }
    }

    #[test]
    fn a_url_is_refused_by_the_rule_that_it_breaks_f18() {
        let not_public = |ip: &str| UrlError::NotPublic(ip.parse().expect("an address"));
        let cases = [
            ("http://shop.example/hook", UrlError::PlainHttp),
            ("ftp://shop.example/hook", UrlError::Scheme("ftp".into())),
            ("file:///etc/passwd", UrlError::Scheme("file".into())),
            ("gopher://shop.example", UrlError::Scheme("gopher".into())),
            ("https://user@shop.example", UrlError::Credentials),
            ("https://user:secret@shop.example", UrlError::Credentials),
            ("https://:secret@shop.example", UrlError::Credentials),
            ("/hook", UrlError::Malformed(url::ParseError::RelativeUrlWithoutBase)),
            ("https://", UrlError::Malformed(url::ParseError::EmptyHost)),
            ("https://127.0.0.1:8443/x", not_public("127.0.0.1")),
            ("https://2130706433/", not_public("127.0.0.1")),
            ("https://0x7f.1/", not_public("127.0.0.1")),
            ("https://0177.0.0.1/", not_public("127.0.0.1")),
            ("https://127.1/", not_public("127.0.0.1")),
            ("https://①②⑦.0.0.1/", not_public("127.0.0.1")),
            ("https://0/", not_public("0.0.0.0")),
            ("https://169.254.169.254/latest/meta-data", not_public("169.254.169.254")),
            ("https://[::1]/", not_public("::1")),
            ("https://[::ffff:10.0.0.1]/", not_public("::ffff:10.0.0.1")),
            ("https://[64:ff9b::a00:1]/", not_public("64:ff9b::a00:1")),
            ("https://localhost/", UrlError::LocalName("localhost".into())),
            ("https://LOCALHOST./", UrlError::LocalName("localhost.".into())),
            ("https://a.localhost/", UrlError::LocalName("a.localhost".into())),
            ("https://printer.local/", UrlError::LocalName("printer.local".into())),
            ("https://metadata.google.internal/", {
                UrlError::LocalName("metadata.google.internal".into())
            }),
        ];
        for (text, rule) in cases {
            assert_eq!(check_url(text, false), Err(rule), "{text}");
        }
        let long = format!("https://shop.example/{}", "x".repeat(MAX_URL));
        assert_eq!(check_url(&long, false), Err(UrlError::TooLong));
    }

    #[test]
    fn public_urls_pass_at_any_port_and_private_ones_where_they_are_allowed() {
        for text in ["https://shop.example/hook?a=b", "https://1.1.1.1:8443/", "https://x.co:22"] {
            assert!(check_url(text, false).is_ok(), "{text}");
        }
        for text in ["http://127.0.0.1:8080/hook", "http://localhost", "https://[fd00::1]/"] {
            assert!(check_url(text, true).is_ok(), "{text}");
        }
        let credentials = check_url("http://user:secret@localhost", true);
        assert_eq!(credentials, Err(UrlError::Credentials));
        let error = check_url("https://user:secret@shop.example", false).expect_err("refused");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
