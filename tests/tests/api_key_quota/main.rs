//! The `api_key_quota` filter on a real Envoy, as its README specifies it: what clients, upstreams and logs see.

mod algorithms;
mod answers;
mod charging;
mod config;
mod consumers;
mod counted;
mod exact;
mod hostile;
mod identity;
mod introspection;
mod key_files;
mod keys;
mod limits;
mod observed;
mod support;
mod tables;
mod tokens;
mod updates;
