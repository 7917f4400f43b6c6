//! Detectors of sensitive data: bytes in, findings out, whatever the chunks.
