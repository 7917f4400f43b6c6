//! HTTP/1.1 and HTTP/2 clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{HOST, HeaderValue, TRAILER};
use hyper::{HeaderMap, Method, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::message::{Fields, Response, add_field};

/// More than any limit of Envoy's: our own limits must not be what a test sees.
pub(crate) const MAX_HEADERS: usize = 20_000;
pub(crate) const MAX_HEAD: u32 = 16 << 20;

/// A client with one connection: it is made with the first request, kept, and made again if the other side closed it.
/// Clones share it.
#[derive(Clone)]
pub struct Client {
    addr: SocketAddr,
    version: Version,
    connection: Arc<Mutex<Option<Connection>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
}

impl Client {
    /// A client that speaks HTTP/1.1. A request waits until the response before it was read.
    pub fn http1(addr: SocketAddr) -> Self {
        Self { addr, version: Version::Http1, connection: Arc::default() }
    }

    /// A client that speaks HTTP/2 without TLS or upgrade; requests share its connection.
    pub fn http2(addr: SocketAddr) -> Self {
        Self { addr, version: Version::Http2, connection: Arc::default() }
    }

    /// The same client with a connection of its own.
    pub fn another(&self) -> Self {
        Self { connection: Arc::default(), ..self.clone() }
    }

    /// A GET request.
    pub fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    /// A POST request.
    pub fn post(&self, path: &str) -> Request {
        self.request("POST", path)
    }

    /// A request with any method.
    pub fn request(&self, method: &str, path: &str) -> Request {
        Request {
            client: self.clone(),
            method: method.into(),
            path: path.into(),
            host: self.addr.to_string(),
            headers: HeaderMap::new(),
            body: Outgoing::Whole(Bytes::new()),
            timeout: Duration::from_secs(20),
        }
    }

    async fn send(&self, request: hyper::Request<Body>) -> Result<hyper::Response<Incoming>> {
        let mut connection = self.connection.lock().await;
        if let Some(open) = connection.as_mut()
            && open.ready().await.is_err()
        {
            *connection = None;
        }
        if connection.is_none() {
            *connection = Some(Connection::open(self.addr, self.version).await?);
        }
        match connection.as_mut().expect("just made") {
            Connection::Http1(sender) => Ok(sender.send_request(request).await?),
            Connection::Http2(sender) => {
                let response = sender.send_request(request);
                drop(connection);
                Ok(response.await?)
            }
        }
    }
}

/// A request to be sent.
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    client: Client,
    method: String,
    path: String,
    host: String,
    headers: HeaderMap,
    body: Outgoing,
    timeout: Duration,
}

type Body = BoxBody<Bytes, Aborted>;

/// What a sender gives up with.
#[derive(Clone, Copy, Debug)]
pub struct Aborted;

impl std::fmt::Display for Aborted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the sender gave up")
    }
}

impl std::error::Error for Aborted {}

enum Outgoing {
    Whole(Bytes),
    Stream(Channel<Bytes, Aborted>),
    Chunks { chunks: Vec<Bytes>, pause: Duration, trailers: HeaderMap },
}

impl Request {
    /// Adds a header field.
    ///
    /// # Panics
    /// If hyper sends no such field (a name that is not a token, control characters): [`crate::raw()`] does.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        add_field(&mut self.headers, name, value.as_ref());
        self
    }

    /// `Host`, or `:authority` in HTTP/2; by default the address.
    pub fn host(mut self, host: &str) -> Self {
        self.host = host.into();
        self
    }

    /// Tells the upstream how to answer: see [`crate::Reply`] for the fields.
    pub fn upstream(self, reply: Value) -> Self {
        self.header(crate::upstream::REMOTE_CONTROL, reply.to_string())
    }

    /// The body, with its length.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Outgoing::Whole(body.into());
        self
    }

    /// The body as JSON, with its length and `content-type`.
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// The body in pieces and without its length, with a pause before each.
    pub fn chunks<T: Into<Bytes>>(mut self, chunks: impl IntoIterator<Item = T>, pause: Duration) -> Self {
        let chunks = chunks.into_iter().map(Into::into).collect();
        self.body = Outgoing::Chunks { chunks, pause, trailers: HeaderMap::new() };
        self
    }

    /// A trailer field behind the body, which goes without its length.
    ///
    /// # Panics
    /// As [`Request::header`].
    pub fn trailer(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        if let Outgoing::Whole(body) = self.body {
            self.body =
                Outgoing::Chunks { chunks: vec![body], pause: Duration::ZERO, trailers: HeaderMap::new() };
        }
        if let Outgoing::Chunks { trailers, .. } = &mut self.body {
            add_field(trailers, name, value.as_ref());
        }
        // HTTP/1.1 sends announced trailers only.
        self.header("trailer", name)
    }

    /// The body is what is written into the sender, and ends when that is dropped. `Sender::abort` gives up: the
    /// connection is closed (HTTP/1.1) or the stream reset (HTTP/2).
    pub fn stream(mut self) -> (Sender<Bytes, Aborted>, Self) {
        let (sender, body) = Channel::new(1);
        self.body = Outgoing::Stream(body);
        (sender, self)
    }

    /// How long it may take until the whole response is there (default 20 s).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends it and waits for the whole response.
    ///
    /// # Errors
    /// If there is none, or not all of it.
    pub async fn send(self) -> Result<Response> {
        let (what, timeout) = (self.to_string(), self.timeout);
        let response = async { self.open().await?.finish().await };
        within(timeout, response).await.with_context(|| what)
    }

    /// Sends it and waits for the head of the response only.
    ///
    /// # Errors
    /// If there is none.
    pub async fn open(self) -> Result<OpenResponse> {
        let (client, timeout) = (self.client.clone(), self.timeout);
        let request = self.build()?;
        let (head, body) = within(timeout, client.send(request)).await?.into_parts();
        Ok(OpenResponse {
            status: head.status.as_u16(),
            headers: (&head.headers).into(),
            trailers: Fields::default(),
            body: Reader { body, http2: client.version == Version::Http2 },
        })
    }

    fn build(mut self) -> Result<hyper::Request<Body>> {
        let uri = match self.client.version {
            Version::Http1 => {
                let host = HeaderValue::from_str(&self.host).context("host")?;
                self.headers.entry(HOST).or_insert(host);
                self.path.parse::<Uri>()
            }
            Version::Http2 => format!("http://{}{}", self.host, self.path).parse(),
        };
        let uri = uri.with_context(|| format!("path {:?}: hyper sends no such path", self.path))?;
        if self.client.version == Version::Http2 {
            self.headers.remove(TRAILER);
        }
        let mut request = hyper::Request::new(self.body.into_body());
        *request.method_mut() = Method::from_bytes(self.method.as_bytes())?;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers;
        Ok(request)
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({:?})", self.method, self.path, self.client.version)
    }
}

impl Outgoing {
    fn into_body(self) -> Body {
        match self {
            Self::Whole(bytes) => Full::new(bytes).map_err(|never| match never {}).boxed(),
            Self::Stream(channel) => channel.boxed(),
            Self::Chunks { chunks, pause, trailers } => {
                let (mut sender, body) = Channel::new(1);
                tokio::spawn(async move {
                    for chunk in chunks {
                        tokio::time::sleep(pause).await;
                        sender.send_data(chunk).await?;
                    }
                    if !trailers.is_empty() {
                        sender.send_trailers(trailers).await?;
                    }
                    Ok::<_, http_body_util::channel::SendError>(())
                });
                body.boxed()
            }
        }
    }
}

/// A response of which only the head was read. Dropping it gives up: the connection is closed (HTTP/1.1) or the stream
/// reset (HTTP/2).
#[derive(Debug)]
pub struct OpenResponse {
    pub status: u16,
    pub headers: Fields,
    trailers: Fields,
    body: Reader,
}

impl OpenResponse {
    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// If the body ends before its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        while let Some(frame) = self.body.frame().await? {
            match frame.into_data() {
                // An empty frame says no more than that the stream ended.
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Ok(Some(data)),
                Err(frame) => self.trailers = frame.trailers_ref().map(Fields::from).unwrap_or_default(),
            }
        }
        Ok(None)
    }

    /// The rest of it.
    ///
    /// # Errors
    /// If the body ends before its end.
    pub async fn finish(mut self) -> Result<Response> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            body.extend_from_slice(&chunk);
        }
        let Self { status, headers, trailers, .. } = self;
        Ok(Response { status, headers, body: body.freeze(), trailers })
    }
}

/// Reads a body, and tells its end from a reset.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) body: Incoming,
    pub(crate) http2: bool,
}

impl Reader {
    pub(crate) async fn frame(&mut self) -> Result<Option<Frame<Bytes>>> {
        let frame = self.body.frame().await.transpose().context("the body breaks off")?;
        // hyper takes a stream reset with NO_ERROR or CANCEL for the end of the body.
        ensure!(frame.is_some() || !self.http2 || self.body.is_end_stream(), "the body breaks off");
        Ok(frame)
    }
}

enum Connection {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Connection {
    async fn open(addr: SocketAddr, version: Version) -> Result<Self> {
        let socket = TcpStream::connect(addr).await.with_context(|| format!("connecting to {addr}"))?;
        socket.set_nodelay(true)?;
        let socket = TokioIo::new(socket);
        // How a connection ends is told by the requests on it.
        match version {
            Version::Http1 => {
                let (sender, connection) = http1::Builder::new()
                    .max_headers(MAX_HEADERS)
                    .max_buf_size(MAX_HEAD as usize)
                    .handshake(socket)
                    .await?;
                tokio::spawn(connection);
                Ok(Self::Http1(sender))
            }
            Version::Http2 => {
                let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                    .max_header_list_size(MAX_HEAD)
                    .handshake(socket)
                    .await?;
                tokio::spawn(connection);
                Ok(Self::Http2(sender))
            }
        }
    }

    async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Self::Http1(sender) => sender.ready().await,
            Self::Http2(sender) => sender.ready().await,
        }
    }
}

/// Runs `f` for `requests` requests, on `clients` connections like that of `client`, in parallel. `f` gets its connection
/// and the number of the request, from 0.
///
/// # Errors
/// The first error of `f`.
pub async fn burst<T, F, Fut>(client: &Client, clients: usize, requests: usize, f: F) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Fn(Client, usize) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T>> + Send,
{
    let (next, f) = (Arc::new(AtomicUsize::new(0)), Arc::new(f));
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let (client, next, f) = (client.another(), Arc::clone(&next), Arc::clone(&f));
        tasks.spawn(async move {
            let mut results = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= requests {
                    return Ok::<_, anyhow::Error>(results);
                }
                results.push(f(client.clone(), number).await.with_context(|| format!("request {number}"))?);
            }
        });
    }
    let mut results = Vec::with_capacity(requests);
    while let Some(finished) = tasks.join_next().await {
        match finished {
            Ok(batch) => results.extend(batch?),
            Err(panic) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
            Err(error) => bail!(error),
        }
    }
    Ok(results)
}

async fn within<T>(timeout: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| bail!("no answer within {timeout:?}"))
}
