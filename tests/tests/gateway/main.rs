//! The `gateway` filter on a real Envoy, as its README specifies it: all policies in one pipeline.

mod bodies;
mod pipelines;
mod support;
mod traces;
mod waits;
