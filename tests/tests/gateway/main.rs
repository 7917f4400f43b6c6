//! The `gateway` filter on a real Envoy, as its README specifies it: all policies in one pipeline.

mod bodies;
mod metrics;
mod pipelines;
mod routes;
mod support;
mod traces;
mod waits;
