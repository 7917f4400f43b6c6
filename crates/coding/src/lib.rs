//! Content codings: gzip, deflate and br, decoded within limits and encoded again.
