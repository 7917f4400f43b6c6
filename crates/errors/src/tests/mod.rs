//! The whole policy, as clients and upstreams see it.
