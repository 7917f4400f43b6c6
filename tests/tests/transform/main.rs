//! The `transform` filter on a real Envoy, as its README specifies it: what clients, upstreams and logs see.

mod bodies;
mod encodings;
mod heads;
mod replaced;
mod routes;
mod support;
mod transfers;
mod troubles;
mod untouched;
