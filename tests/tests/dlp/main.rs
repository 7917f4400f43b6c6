//! The `dlp` filter on a real Envoy, as its README specifies it: what clients, upstreams and logs see.

mod blocking;
mod bodies;
mod detectors;
mod encoded;
mod hostile;
mod options;
mod places;
mod support;
