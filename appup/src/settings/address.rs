//! Addresses that a module may reach, as a release writes them: `tcp://db.internal:5432`, `https://*.example.com/v1`.
//!
//! Invariants:
//! - Nothing matches but what is written: a name does not stand for its subdomains, nor for the addresses it has.
//! - An address is compared as what it is: `::ffff:10.0.0.1` is `10.0.0.1`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The longest name of a host.
const NAME_MAX: usize = 253;

/// Which hosts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Hosts {
    /// `*`
    Any,
    /// `db.internal`: this name.
    Name(String),
    /// `*.example.com`: every name that ends so.
    Below(String),
    /// `10.0.0.0/8`, `127.0.0.1`, `[fd00::]/8`.
    Net(IpAddr, u8),
}

/// Which ports: the first and the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ports(u16, u16);

/// What is done with a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SocketUse {
    /// `tcp`: connect there.
    Tcp,
    /// `udp`: send there, and receive from there.
    Udp,
    /// `tcp-listen`: listen there, for whoever connects.
    TcpListen,
    /// `udp-listen`: bind there, and receive from whoever sends.
    UdpListen,
}

/// One entry of `sockets`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SocketGrant {
    /// What for.
    pub used: SocketUse,
    /// Where.
    pub hosts: Hosts,
    /// On which ports.
    pub ports: Ports,
}

/// One entry of `http`: where requests may go.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HttpGrant {
    /// Whether by TLS.
    pub tls: bool,
    /// To which hosts; not to a net, since a `/` begins the path.
    pub hosts: Hosts,
    /// To which ports.
    pub ports: Ports,
    /// Only to this path and those below it: `/v1`.
    pub path: Option<String>,
}

impl Hosts {
    /// True if this name is meant.
    #[must_use]
    pub fn has_name(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.');
        match self {
            Hosts::Any => true,
            Hosts::Name(known) => known.eq_ignore_ascii_case(name),
            Hosts::Below(known) => {
                let begins = name.len().checked_sub(known.len());
                let parts = begins.and_then(|begins| name.split_at_checked(begins));
                parts.is_some_and(|(before, end)| {
                    end.eq_ignore_ascii_case(known) && before.len() > 1 && before.ends_with('.')
                })
            }
            Hosts::Net(..) => false,
        }
    }

    /// True if this address is meant; never for a name, of which somebody else has to say what addresses it has.
    #[must_use]
    pub fn has_address(&self, address: IpAddr) -> bool {
        match (self, address.to_canonical()) {
            (Hosts::Any, _) => true,
            (Hosts::Net(IpAddr::V4(net), bits), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(*bits)).unwrap_or(0);
                (net.to_bits() ^ address.to_bits()) & mask == 0
            }
            (Hosts::Net(IpAddr::V6(net), bits), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(*bits)).unwrap_or(0);
                (net.to_bits() ^ address.to_bits()) & mask == 0
            }
            _ => false,
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Hosts::Any);
        }
        if let Some(net) = parse_net(text)? {
            return Ok(net);
        }
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let labels = || {
            name.split('.')
                .all(|label| !label.is_empty() && label.chars().all(fits))
        };
        if name.is_empty() || name.len() > NAME_MAX || !labels() {
            return Err(format!(
                "{text:?} is no host: write a name (\"db.internal\", \"*.example.com\"), an address (\"10.0.0.7\", \"[::1]\"), a net \
                 (\"10.0.0.0/8\", \"[fd00::]/8\") or \"*\""
            ));
        }
        let name = name.to_ascii_lowercase();
        Ok(if below { Hosts::Below(name) } else { Hosts::Name(name) })
    }
}

/// An address, with or without a number of bits; `None` for what is neither.
fn parse_net(text: &str) -> Result<Option<Hosts>, String> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']'));
    let address = match bare {
        Some(bare) => bare.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => address.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    };
    let Some(address) = address else { return Ok(None) };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits.map(str::parse::<u8>) {
        None => most,
        Some(Ok(bits)) if bits <= most => bits,
        Some(_) => {
            return Err(format!(
                "{text:?} is no net: behind `/` stands a number from 0 to {most}"
            ));
        }
    };
    Ok(Some(Hosts::Net(address, bits)))
}

impl Ports {
    const ANY: Ports = Ports(0, u16::MAX);

    /// True if this port is meant.
    #[must_use]
    pub fn has(self, port: u16) -> bool {
        (self.0..=self.1).contains(&port)
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Ports::ANY);
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Ports(first, last)),
            _ => Err(format!(
                "{text:?} is no port: write a number (5432), a range (8000-8010) or \"*\""
            )),
        }
    }
}

/// Host and port, the host possibly in brackets and with bits: `[fd00::]/8:443`.
fn split_port(text: &str) -> (&str, Option<&str>) {
    let inside = text.rfind(']').unwrap_or(0);
    match text.rfind(':').filter(|colon| *colon >= inside) {
        Some(colon) => (&text[..colon], Some(&text[colon + 1..])),
        None => (text, None),
    }
}

impl SocketUse {
    const WORDS: [(&'static str, SocketUse); 4] = [
        ("tcp", SocketUse::Tcp),
        ("udp", SocketUse::Udp),
        ("tcp-listen", SocketUse::TcpListen),
        ("udp-listen", SocketUse::UdpListen),
    ];

    /// The word before `://`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            SocketUse::Tcp => "tcp",
            SocketUse::Udp => "udp",
            SocketUse::TcpListen => "tcp-listen",
            SocketUse::UdpListen => "udp-listen",
        }
    }
}

impl SocketGrant {
    /// True if it lets a socket be used so with this address.
    #[must_use]
    pub fn allows(&self, used: SocketUse, address: SocketAddr) -> bool {
        self.used == used && self.ports.has(address.port()) && self.hosts.has_address(address.ip())
    }

    /// True if it lets a socket be used so with an address of a name, and this port.
    #[must_use]
    pub fn is_by_name(&self, used: SocketUse, port: u16) -> bool {
        let by_name = matches!(self.hosts, Hosts::Name(_) | Hosts::Below(_));
        self.used == used && by_name && self.ports.has(port)
    }

    /// True if it needs this name to be looked up.
    #[must_use]
    pub fn needs_name(&self, name: &str) -> bool {
        matches!(self.used, SocketUse::Tcp | SocketUse::Udp) && self.hosts.has_name(name)
    }
}

impl FromStr for SocketGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || {
            let words: Vec<_> = SocketUse::WORDS.iter().map(|(word, _)| format!("{word}://")).collect();
            format!(
                "{text:?} is no socket: write \"tcp://db.internal:5432\" to connect, \"udp://10.0.0.0/8:53\" to send, \
                 \"tcp-listen://127.0.0.1:9000\" to listen ({})",
                words.join(", ")
            )
        };
        let (word, rest) = text.split_once("://").ok_or_else(form)?;
        let found = SocketUse::WORDS.iter().find(|(known, _)| *known == word);
        let (_, used) = *found.ok_or_else(form)?;
        let (host, port) = split_port(rest);
        let port = port.ok_or_else(|| format!("{text:?} says no port: add `:5432`, `:8000-8010` or `:*`"))?;
        let hosts = Hosts::parse(host)?;
        let listens = matches!(used, SocketUse::TcpListen | SocketUse::UdpListen);
        if listens && matches!(hosts, Hosts::Name(_) | Hosts::Below(_)) {
            return Err(format!(
                "{text:?}: what is listened on is an address of this machine, not a name"
            ));
        }
        Ok(SocketGrant {
            used,
            hosts,
            ports: Ports::parse(port)?,
        })
    }
}

impl HttpGrant {
    /// True if it lets a request go there. `host` may be a name, an address, or one in brackets.
    #[must_use]
    pub fn allows(&self, tls: bool, host: &str, port: u16, path: &str) -> bool {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let hosts = match bare.unwrap_or(host).parse::<IpAddr>() {
            Ok(address) => self.hosts.has_address(address),
            Err(_) => self.hosts.has_name(host),
        };
        let below = |prefix: &String| {
            let rest = path.strip_prefix(prefix.as_str());
            rest.is_some_and(|rest| (rest.is_empty() || rest.starts_with('/')) && !climbs(rest))
        };
        self.tls == tls && hosts && self.ports.has(port) && self.path.as_ref().is_none_or(below)
    }
}

/// True if a server could read a path as leading out of where it seems to be: a segment of dots, written as they are or encoded, or a
/// separator that is encoded.
fn climbs(path: &str) -> bool {
    let plain = path.to_ascii_lowercase();
    let hidden = ["%2f", "%5c", "\\", "%25"]
        .iter()
        .any(|separator| plain.contains(separator));
    let plain = plain.replace("%2e", ".");
    hidden
        || plain
            .split('/')
            .any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
}

impl FromStr for HttpGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let tls = match scheme {
            "https" => true,
            "http" => false,
            _ => {
                return Err(format!(
                    "{text:?} is no place for requests: write \"https://api.example.com\" or \"http://127.0.0.1:8080/path\""
                ));
            }
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') || path.contains(['?', '#']) || climbs(path) {
            return Err(format!("{text:?}: write scheme, host, port and path, and nothing else"));
        }
        let (host, port) = split_port(authority);
        let ports = match port {
            Some(port) => Ports::parse(port)?,
            None if tls => Ports(443, 443),
            None => Ports(80, 80),
        };
        let path = path.trim_end_matches('/');
        Ok(HttpGrant {
            tls,
            hosts: Hosts::parse(host)?,
            ports,
            path: (!path.is_empty()).then(|| path.to_owned()),
        })
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hosts::Any => out.write_str("*"),
            Hosts::Name(name) => out.write_str(name),
            Hosts::Below(name) => write!(out, "*.{name}"),
            Hosts::Net(IpAddr::V4(net), 32) => write!(out, "{net}"),
            Hosts::Net(IpAddr::V6(net), 128) => write!(out, "[{net}]"),
            Hosts::Net(IpAddr::V4(net), bits) => write!(out, "{net}/{bits}"),
            Hosts::Net(IpAddr::V6(net), bits) => write!(out, "[{net}]/{bits}"),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Ports::ANY => out.write_str("*"),
            Ports(first, last) if first == last => write!(out, "{first}"),
            Ports(first, last) => write!(out, "{first}-{last}"),
        }
    }
}

impl fmt::Display for SocketGrant {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}://{}:{}", self.used.word(), self.hosts, self.ports)
    }
}

impl fmt::Display for HttpGrant {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.tls { ("https", 443) } else { ("http", 80) };
        write!(out, "{scheme}://{}", self.hosts)?;
        if self.ports != Ports(usual, usual) {
            write!(out, ":{}", self.ports)?;
        }
        out.write_str(self.path.as_deref().unwrap_or_default())
    }
}

impl TryFrom<String> for SocketGrant {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<SocketGrant> for String {
    fn from(grant: SocketGrant) -> String {
        grant.to_string()
    }
}

impl TryFrom<String> for HttpGrant {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<HttpGrant> for String {
    fn from(grant: HttpGrant) -> String {
        grant.to_string()
    }
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
