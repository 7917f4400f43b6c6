//! Tokens as they are meant, and as they are not.

mod attacks;
#[cfg(not(target_arch = "wasm32"))]
mod properties;
mod vectors;
