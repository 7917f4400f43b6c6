//! The error response policy as a module for Envoy: see `README.md` beside this crate.

meshgate_envoy_host::filter!(meshgate_errors::Errors: request_head, response_head);
