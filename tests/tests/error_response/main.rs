//! The `error_response` filter on a real Envoy, as its README specifies it: what clients, upstreams and logs see.

mod bodies;
mod causes;
mod config;
mod direct;
mod formats;
mod hostile;
mod origins;
mod support;
