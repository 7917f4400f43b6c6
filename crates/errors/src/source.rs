//! Client addresses: networks that a configuration names (RFC 4632, RFC 4291 section 2.3).

use std::net::{IpAddr, SocketAddr};

use meshgate_policy::config::{ConfigError, Path};

/// A network, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// As IPv6; IPv4 is mapped there (RFC 4291 section 2.5.5.2).
    bits: u128,
    /// How many of the first bits count.
    prefix: u32,
}

impl Network {
    /// Reads `10.0.0.0/8`, `2001:db8::/32` or an address.
    ///
    /// # Errors
    /// It is none of these, or has bits behind its prefix.
    pub fn compile(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Self::parse(text).ok_or_else(|| {
            ConfigError::at(path)
                .value(text)
                .expected("an address, or a network such as 10.0.0.0/8 or 2001:db8::/32")
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().ok()?;
        let (width, mapped) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let prefix = match prefix {
            Some(digits) if digits.len() <= 3 && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok()?
            }
            Some(_) => return None,
            None => width,
        };
        let network = Self { bits: bits(address), prefix: u32::checked_add(prefix, mapped)? };
        (prefix <= width && network.bits & !network.mask() == 0).then_some(network)
    }

    /// Whether the property `source.address`, an address with its port, is in this network.
    pub fn holds(&self, source: &[u8]) -> bool {
        let source = std::str::from_utf8(source).ok().and_then(|text| text.parse::<SocketAddr>().ok());
        source.is_some_and(|source| bits(source.ip()) & self.mask() == self.bits)
    }

    fn mask(&self) -> u128 {
        u128::MAX.checked_shl(128_u32.saturating_sub(self.prefix)).unwrap_or(0)
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn networks_hold_their_addresses() {
        for (network, source, holds) in [
            ("10.0.0.0/8", "10.1.2.3:99", true),
            ("10.0.0.0/8", "11.0.0.0:99", false),
            ("10.1.2.3", "10.1.2.3:1", true),
            ("10.1.2.3/32", "10.1.2.4:1", false),
            ("0.0.0.0/0", "1.2.3.4:1", true),
            ("0.0.0.0/0", "[2001:db8::1]:1", false),
            ("::/0", "[2001:db8::1]:1", true),
            ("2001:db8::/32", "[2001:db8:1::1]:1", true),
            ("2001:db8::/32", "[2001:db9::1]:1", false),
            ("10.0.0.0/8", "[::ffff:10.0.0.1]:1", true),
            ("10.0.0.0/8", "10.1.2.3", false),
            ("10.0.0.0/8", "/var/run/x.sock", false),
            ("10.0.0.0/8", "", false),
        ] {
            assert_eq!(
                Network::parse(network).unwrap().holds(source.as_bytes()),
                holds,
                "{network} {source}"
            );
        }
        for wrong in [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "10.0.0/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "::/129",
            "x/8",
            "10.0.0.0/8/8",
        ] {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
    }
}
