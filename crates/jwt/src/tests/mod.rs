//! Tokens as they are meant, and as they are not.

mod attacks;
mod keys;
#[cfg(not(target_arch = "wasm32"))]
mod properties;
mod vectors;
