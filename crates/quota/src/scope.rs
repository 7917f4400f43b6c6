//! What a limit counts apart: consumers, keys, routes, addresses of clients, values of headers, or several of these
//! together.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::{IpAddr, SocketAddr};

use meshgate_jwt::ClaimPath;
use meshgate_policy::config::{ConfigError, OneOrMany, Path};
use meshgate_policy::head::RequestHead;
use meshgate_policy::headers::HeaderName;
use meshgate_policy::host::{Host, HostError};
use meshgate_policy::matching::host_of;

use crate::config::{ClientIpConfig, PerConfig};
use crate::consumer::{Identity, UsageAt, escaped, fingerprint};
use crate::table::{Fingerprint, Tables};

const AUTHORITY: HeaderName = HeaderName::constant(":authority");

/// What a limit counts apart: all of these parts together. Without any, each consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Box<[Part]>);

/// In an order that is always the same, so that it does not matter how a configuration lists them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Part {
    Consumer,
    Key,
    Route,
    Ip,
    Header(HeaderName),
    /// As [`ClaimPath`] reads it.
    Claim(Box<str>),
}

/// What kinds of bytes a fingerprint is of. The numbers stand in fingerprints of usages that outlive a configuration.
mod kind {
    pub const CONSUMER: u8 = 1;
    pub const CONSUMER_IN_TABLE: u8 = 2;
    pub const KEY: u8 = 3;
    pub const ROUTE: u8 = 4;
    pub const IP: u8 = 5;
    pub const HEADER: u8 = 6;
    pub const VALUE: u8 = 7;
    pub const CLAIM: u8 = 9;
    pub const FAILED_AUTHENTICATION: u8 = 8;
}

impl Scope {
    /// Checks what is configured. Nothing is: each consumer.
    ///
    /// # Errors
    /// A [`ConfigError`] for a part that is there twice, or a header that can't be.
    pub fn compile(per: Option<OneOrMany<PerConfig>>, path: &Path) -> Result<Self, ConfigError> {
        let mut parts = Vec::new();
        for (path, part) in per.into_iter().flat_map(|per| per.located(path)) {
            let part = match part {
                PerConfig::Consumer => Part::Consumer,
                PerConfig::Key => Part::Key,
                PerConfig::Route => Part::Route,
                PerConfig::Ip => Part::Ip,
                // Where Envoy has it, of HTTP/1 as well.
                PerConfig::Header(name) if name.eq_ignore_ascii_case("host") => Part::Header(AUTHORITY),
                PerConfig::Header(name) => Part::Header(HeaderName::new(&name).map_err(|_| {
                    let error = ConfigError::at(path.key("header")).value(&name);
                    error.expected("the name of a header field, such as x-tenant")
                })?),
                PerConfig::Claim(name) if name.is_empty() => {
                    let error = ConfigError::at(path.key("claim")).value(&name);
                    return Err(error.expected("the name of a claim, such as org"));
                }
                PerConfig::Claim(name) => Part::Claim(name.into()),
            };
            if parts.contains(&part) {
                return Err(ConfigError::at(path).found("a part that stands there already"));
            }
            parts.push(part);
        }
        parts.sort_unstable();
        // A key is its consumer's, so that to name both says nothing more.
        if parts.contains(&Part::Key) {
            parts.retain(|part| *part != Part::Consumer);
        }
        if parts == [Part::Consumer] {
            parts.clear();
        }
        Ok(Self(parts.into()))
    }

    /// Whether it is each consumer, and nothing else.
    pub const fn is_consumer(&self) -> bool {
        self.0.is_empty()
    }

    /// What it is called among shared values: no two have one name.
    pub fn name(&self) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Consumer => "consumer".to_owned(),
            Part::Key => "key".to_owned(),
            Part::Route => "route".to_owned(),
            Part::Ip => "ip".to_owned(),
            Part::Header(name) => format!("header:{}", name.as_str()),
            Part::Claim(name) => format!("claim:{}", escaped(name)),
        });
        parts.collect::<Vec<_>>().join("/")
    }
}

/// What scopes ask of a request; what costs something is asked for once.
#[derive(Debug)]
pub struct Facts<'a> {
    head: &'a RequestHead<'a>,
    client_ip: ClientIp,
    address: OnceCell<Address>,
    route: OnceCell<Vec<u8>>,
}

impl<'a> Facts<'a> {
    /// Of a request.
    pub const fn new(head: &'a RequestHead<'a>, client_ip: ClientIp) -> Self {
        Self { head, client_ip, address: OnceCell::new(), route: OnceCell::new() }
    }

    /// The fingerprint of those for whom a scope counts this request of somebody.
    ///
    /// # Errors
    /// What the host refused.
    pub fn fingerprint(
        &self,
        scope: &Scope,
        identity: &Identity<'_>,
        tables: &Tables,
        host: &mut dyn Host,
    ) -> Result<Fingerprint, HostError> {
        let made;
        let consumer: (u8, &[u8]) = match &identity.usage {
            UsageAt::Value(_) => (kind::CONSUMER, identity.name.as_bytes()),
            UsageAt::Table(fingerprint) => (kind::CONSUMER_IN_TABLE, fingerprint),
            UsageAt::Named => {
                made = fingerprint(identity.name.as_bytes());
                (kind::CONSUMER_IN_TABLE, &made)
            }
        };
        if scope.is_consumer() {
            return Ok(tables.fingerprint([consumer]));
        }
        let mut parts: Vec<(u8, Cow<'_, [u8]>)> = Vec::new();
        for part in &scope.0 {
            match part {
                Part::Consumer => parts.push((consumer.0, consumer.1.into())),
                Part::Key => {
                    parts.push((consumer.0, consumer.1.into()));
                    parts.extend(identity.key_id().map(|id| (kind::KEY, id.as_bytes().into())));
                }
                Part::Route => parts.push((kind::ROUTE, self.route(host)?.into())),
                Part::Ip => parts.push((kind::IP, self.address(host)?.as_bytes().into())),
                Part::Header(name) if *name == AUTHORITY => {
                    parts.push((kind::HEADER, name.as_str().as_bytes().into()));
                    // However it is spelled.
                    parts.push((kind::VALUE, host_of(self.head.authority).into()));
                }
                Part::Header(name) => {
                    parts.push((kind::HEADER, name.as_str().as_bytes().into()));
                    let values = self.head.headers.all(name.as_str());
                    parts.extend(values.map(|value| (kind::VALUE, value.into())));
                }
                Part::Claim(name) => {
                    parts.push((kind::CLAIM, name.as_bytes().into()));
                    let value = identity.claims().and_then(|claims| ClaimPath::new(name).find(claims));
                    parts.extend(value.map(|value| (kind::VALUE, value.to_string().into_bytes().into())));
                }
            }
        }
        Ok(tables.fingerprint(parts.iter().map(|(kind, bytes)| (*kind, &**bytes))))
    }

    /// The fingerprint of the client under which its failures to authenticate are counted.
    ///
    /// # Errors
    /// What the host refused.
    pub fn failures(&self, tables: &Tables, host: &mut dyn Host) -> Result<Fingerprint, HostError> {
        let address = self.address(host)?;
        Ok(tables.fingerprint([(kind::FAILED_AUTHENTICATION, &[][..]), (kind::IP, address.as_bytes())]))
    }

    /// The address of the client.
    ///
    /// # Errors
    /// What the host refused.
    pub fn address(&self, host: &mut dyn Host) -> Result<&Address, HostError> {
        if let Some(address) = self.address.get() {
            return Ok(address);
        }
        let address = self.client_ip.of(self.head, host)?;
        Ok(self.address.get_or_init(|| address))
    }

    fn route(&self, host: &mut dyn Host) -> Result<&[u8], HostError> {
        if let Some(route) = self.route.get() {
            return Ok(route);
        }
        let route = host.property(&["xds", "route_name"])?.unwrap_or_default();
        Ok(self.route.get_or_init(|| route))
    }
}

/// More than any chain of proxies has, as the schema says.
const MAX_TRUSTED_HOPS: u8 = 64;

/// Where the address of a client is: see [`ClientIpConfig`].
#[derive(Clone, Copy, Debug)]
pub struct ClientIp {
    trusted_hops: u8,
}

impl ClientIp {
    /// As configured.
    ///
    /// # Errors
    /// A [`ConfigError`] for more trusted proxies than there can be.
    pub fn compile(config: ClientIpConfig) -> Result<Self, ConfigError> {
        let trusted_hops = config.trusted_hops;
        if trusted_hops > MAX_TRUSTED_HOPS {
            let path = Path::root().key("client_ip").key("trusted_hops");
            let error = ConfigError::at(path).found(trusted_hops.to_string());
            return Err(
                error.expected(format!("how many proxies in front are trusted, 0 to {MAX_TRUSTED_HOPS}"))
            );
        }
        Ok(Self { trusted_hops })
    }

    /// Of a request.
    fn of(self, head: &RequestHead<'_>, host: &mut dyn Host) -> Result<Address, HostError> {
        let address = if self.trusted_hops == 0 {
            host.property(&["source", "address"])?.and_then(|address| Address::parse(&address))
        } else {
            let values: Vec<&[u8]> = head.headers.all("x-forwarded-for").collect();
            let from_the_right = values.iter().rev().flat_map(|value| value.rsplit(|byte| *byte == b','));
            let place = usize::from(self.trusted_hops.saturating_sub(1));
            from_the_right.skip(place).map(Address::parse).next().flatten()
        };
        Ok(address.unwrap_or(Address::Unknown))
    }
}

/// Who a client is by its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// All of it.
    V4([u8; 4]),
    /// The first 64 bits: the rest is the client's to choose (RFC 4291 section 2.5.4).
    V6([u8; 8]),
    /// It can't be read.
    Unknown,
}

impl Address {
    /// Reads an address, with or without a port.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text.trim_ascii()).ok()?;
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        let address: IpAddr = match bare.parse() {
            Ok(address) => address,
            Err(_) => text.parse::<SocketAddr>().ok()?.ip(),
        };
        Some(match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => Self::V6(address.octets().first_chunk().copied()?),
        })
    }

    /// Of a length of its own for each kind.
    const fn as_bytes(&self) -> &[u8] {
        match self {
            Self::V4(bytes) => bytes,
            Self::V6(bytes) => bytes,
            Self::Unknown => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use meshgate_policy::config::{self, Options};
    use serde::Deserialize;
    use serde_json::{Value, json};
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn scope(per: &Value) -> Result<Scope, String> {
        #[derive(Deserialize)]
        struct Document {
            #[serde(default)]
            per: Option<OneOrMany<PerConfig>>,
        }
        let document = config::from_value::<Document>(&json!({ "per": per }), &Options::default());
        let scope = document.and_then(|document| Scope::compile(document.per, &Path::root().key("per")));
        scope.map_err(|error| error.to_string())
    }

    #[test]
    fn the_order_of_parts_makes_no_difference() {
        for per in [json!("consumer"), json!(["consumer"])] {
            assert!(scope(&per).unwrap().is_consumer(), "{per}");
        }
        assert!(!scope(&json!("ip")).unwrap().is_consumer());
        let several = scope(&json!(["ip", "consumer", {"header": "X-Tenant"}])).unwrap();
        assert_eq!(several, scope(&json!([{"header": "x-tenant"}, "ip", "consumer"])).unwrap());
        assert_ne!(several, scope(&json!([{"header": "x-other"}, "ip", "consumer"])).unwrap());
        assert_eq!(scope(&json!(["consumer", "key"])), scope(&json!("key")));
    }

    #[test]
    fn names_differ_if_scopes_do() {
        let name = |per: Value| scope(&per).unwrap().name();
        let all = json!([{"claim": "/a/b%2F"}, "route", {"header": "X-Tenant"}, "ip", "consumer"]);
        assert_eq!(name(all), "consumer/route/ip/header:x-tenant/claim:%2Fa%2Fb%252F");
        assert_eq!(name(json!(["consumer", "key"])), "key");
    }

    #[test]
    fn what_can_be_no_scope_is_refused() {
        for (per, place) in [
            (json!([]), "per"),
            (json!("client"), "per"),
            (json!(["ip", "ip"]), "per[1]"),
            (json!([{"header": "a"}, {"header": "A"}]), "per[1]"),
            (json!({"header": "a b"}), "per.header"),
            (json!({"header": "a", "ip": null}), "per"),
        ] {
            let error = scope(&per).unwrap_err();
            assert!(error.starts_with(&format!("{place}:")), "{per}: {error}");
        }
    }

    #[test]
    fn addresses_are_read_with_and_without_a_port() {
        let v4 = Some(Address::V4([192, 0, 2, 1]));
        let v6 = Some(Address::V6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 1]));
        for (text, expected) in [
            ("192.0.2.1", v4),
            (" 192.0.2.1\t", v4),
            ("192.0.2.1:8080", v4),
            ("::ffff:192.0.2.1", v4),
            ("[::ffff:192.0.2.1]:1", v4),
            ("2001:db8:0:1::1", v6),
            ("2001:db8:0:1:ffff::", v6),
            ("[2001:db8:0:1::2]", v6),
            ("[2001:db8:0:1::3]:443", v6),
            ("", None),
            ("unknown", None),
            ("192.0.2", None),
            ("192.0.2.1.", None),
            ("192.0.2.1:", None),
            ("192.0.2.256", None),
            ("192.0.2.1, 192.0.2.2", None),
            ("@pipe", None),
        ] {
            assert_eq!(Address::parse(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(Address::parse(b"192.0.2.1\xff"), None);
    }
}
