//! A server of one file, with ranges, entity tags and conditions (RFC 9110 sections 8.8, 13 and 14), as a file server or an
//! object store has them.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use bytes::Bytes;

use crate::message::Received;
use crate::upstream::{Reply, Upstream};

/// A server of one file, at any path. Clones are the same server, which ends with the last one.
#[derive(Clone)]
pub struct FileServer {
    upstream: Upstream,
    file: Arc<Mutex<File>>,
}

struct File {
    bytes: Bytes,
    etag: String,
}

impl File {
    fn new(bytes: Bytes) -> Self {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Self { etag: format!("\"{:016x}\"", hasher.finish()), bytes }
    }
}

impl FileServer {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// If there is none.
    pub async fn start(file: impl Into<Bytes>) -> Result<Self> {
        let server =
            Self { upstream: Upstream::start().await?, file: Arc::new(Mutex::new(File::new(file.into()))) };
        server.serve();
        Ok(server)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.upstream.addr()
    }

    /// Puts another file in the place of the one that is there.
    pub fn put(&self, file: impl Into<Bytes>) {
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = File::new(file.into());
    }

    /// Serves the file, again if something else was told.
    pub fn serve(&self) {
        let file = Arc::clone(&self.file);
        self.upstream.respond_with(move |request| {
            Some(answer(&file.lock().unwrap_or_else(PoisonError::into_inner), request))
        });
    }

    /// The server behind it: what it got, and what else it may answer.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }
}

/// Conditions come before ranges (RFC 9110 section 13.2.2).
fn answer(file: &File, request: &Received) -> Reply {
    let File { bytes, etag } = file;
    let lists = |name| request.header(name).is_some_and(|list| list.split(", ").any(|tag| tag == etag));
    if request.header("if-match").is_some() && !lists("if-match") {
        return Reply::status(412);
    }
    if lists("if-none-match") {
        return Reply::status(304).header("etag", etag);
    }
    let whole =
        || Reply::status(200).header("etag", etag).header("accept-ranges", "bytes").body(bytes.clone());
    let Some(range) = request.header("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'))
    else {
        return whole();
    };
    let (Ok(from), to) = (range.0.parse::<usize>(), range.1.parse::<usize>()) else { return whole() };
    if from >= bytes.len() {
        return Reply::status(416).header("content-range", format!("bytes */{}", bytes.len()));
    }
    let to = to.unwrap_or(usize::MAX).min(bytes.len() - 1);
    Reply::status(206)
        .header("etag", etag)
        .header("content-range", format!("bytes {from}-{to}/{}", bytes.len()))
        .body(bytes.slice(from..=to))
}
