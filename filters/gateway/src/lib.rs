//! All policies as one module for Envoy: see `README.md` beside this crate.

meshgate_envoy_host::filter!(meshgate_gateway::Gateway: request_head, request_body, request_trailers, response_head, response_body, response_trailers, callout, log, end);
