//! The data-loss prevention policy as a module for Envoy: see `README.md` beside this crate.

meshgate_envoy_host::filter!(meshgate_dlp::Dlp: request_head, request_body, request_trailers, response_head, response_body, response_trailers, log);
