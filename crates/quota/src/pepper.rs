//! A secret that digests of keys are made with.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::digest::Digest;
use meshgate_policy::host::Setup;
use sha2::Sha256;

use crate::config::PepperConfig;

/// The least bytes that are a secret.
const MIN_PEPPER: usize = 16;

/// A secret that digests are made with, so that whoever has only them can't even try keys: HMAC-SHA-256 (RFC 2104).
#[derive(Clone)]
pub struct Pepper(Hmac<Sha256>);

impl Pepper {
    /// Takes it from the environment.
    ///
    /// # Errors
    /// A [`ConfigError`] if it is not there or too short.
    pub fn compile(config: &PepperConfig, setup: &dyn Setup) -> Result<Self, ConfigError> {
        let error = || ConfigError::at(Path::root().key("pepper").key("env"));
        let secret = setup.environment(&config.env).ok_or_else(|| {
            let error = error().value(&config.env).expected("the name of an environment variable of the VM");
            error.hint(
                "in Envoy they are in vm_config.environment_variables, and the module's VM has no others",
            )
        })?;
        Self::new(&secret).ok_or_else(|| {
            let found = format!("a secret of {} bytes", secret.len());
            error().found(found).expected(format!("at least {MIN_PEPPER} bytes in that variable"))
        })
    }

    /// From its bytes; `None` if they are too few: 16 are needed.
    pub fn new(secret: &[u8]) -> Option<Self> {
        let long_enough = secret.len() >= MIN_PEPPER;
        long_enough.then(|| Hmac::new_from_slice(secret).ok()).flatten().map(Self)
    }

    /// The digest of a key.
    pub fn digest(&self, key: &[u8]) -> Digest {
        let mut hmac = self.0.clone();
        hmac.update(key);
        Digest::from_bytes(hmac.finalize().into_bytes().into())
    }
}

/// Nothing of it.
impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pepper").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// RFC 4231 section 4.7: a key longer than a block.
    #[test]
    fn a_pepper_makes_an_hmac() {
        let pepper = Pepper::new(&[0xaa; 131]).unwrap();
        let expected = "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54";
        let digest = pepper.digest(b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(Some(digest), Digest::from_hex(expected));
        assert!(Pepper::new(&[1; 15]).is_none() && Pepper::new(&[1; 16]).is_some());
        assert!(!format!("{pepper:?}").contains("170"));
    }
}
