//! The API key and quota policy as a module for Envoy: see `README.md` beside this crate.

meshgate_envoy_host::filter!(meshgate_quota::Quota: request_head, request_body, request_trailers, response_head, response_body, response_trailers, callout, end);
