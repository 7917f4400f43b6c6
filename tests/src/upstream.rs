//! The upstream behind Envoy: it echoes what it got, or answers as it is told.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::{Bytes, BytesMut};
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue, TRAILER};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use serde::Deserialize;
use serde_json::Value;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::client::{Aborted, MAX_HEAD, MAX_HEADERS, Reader};
use crate::message::{Fields, Received, add_field, bytes_from_json, field};

/// The request header that tells the upstream how to answer: a [`Reply`] in JSON.
pub const REMOTE_CONTROL: &str = "x-upstream";

/// A server for HTTP/1.1 and HTTP/2 (without TLS or upgrade) on one port. It answers 200 with what it got as JSON
/// ([`Response::echo`](crate::Response::echo) reads it) unless told otherwise: for one request by the header
/// [`REMOTE_CONTROL`], for all others by [`Upstream::respond`]. Clones are the same server, which ends with the last one.
#[derive(Clone)]
pub struct Upstream {
    addr: SocketAddr,
    state: Arc<State>,
    _server: Arc<Server>,
}

#[derive(Default)]
struct State {
    forgets: AtomicBool,
    responder: Mutex<Option<Arc<Responder>>>,
    requests: watch::Sender<Vec<Received>>,
}

type Responder = dyn Fn(&Received) -> Option<Reply> + Send + Sync;

struct Server(AbortHandle);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Upstream {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// If there is none.
    pub async fn start() -> Result<Self> {
        Self::bind(([127, 0, 0, 1], 0).into()).await
    }

    /// Starts it on this address.
    ///
    /// # Errors
    /// If the address is taken.
    pub async fn bind(addr: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(addr).await.with_context(|| format!("binding {addr}"))?;
        let (addr, state) = (listener.local_addr()?, Arc::<State>::default());
        let server = tokio::spawn(serve(listener, Arc::clone(&state))).abort_handle();
        Ok(Self { addr, state, _server: Arc::new(Server(server)) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers every request so from now on.
    pub fn respond(&self, reply: Reply) {
        self.respond_with(move |_| Some(reply.clone()));
    }

    /// Asks `responder` how to answer from now on; where it says nothing, the request is echoed.
    pub fn respond_with(&self, responder: impl Fn(&Received) -> Option<Reply> + Send + Sync + 'static) {
        *self.state.responder.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(responder));
    }

    /// The requests so far, in the order in which they ended; also those whose body did not come whole.
    pub fn requests(&self) -> Vec<Received> {
        self.state.requests.borrow().clone()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.state.requests.send_modify(Vec::clear);
    }

    /// Keeps no request from now on: for runs without an end.
    pub fn keep_no_requests(&self) {
        self.state.forgets.store(true, Ordering::Relaxed);
    }

    /// Waits until there are at least this many requests. Those that were answered need no waiting.
    ///
    /// # Errors
    /// If there are not within 20 s.
    pub async fn wait_for_requests(&self, count: usize) -> Result<Vec<Received>> {
        let mut requests = self.state.requests.subscribe();
        let enough = requests.wait_for(|requests| requests.len() >= count);
        let Ok(requests) = timeout(Duration::from_secs(20), enough).await else {
            bail!("the upstream got {} requests, not {count}", self.requests().len());
        };
        Ok(requests?.clone())
    }
}

/// How to answer a request.
///
/// As JSON, in the header [`REMOTE_CONTROL`]: `{"status": 503, "headers": [["retry-after", "1"]], "body": "down"}`, with
/// `chunks` for a body without a length, `trailers`, `delay_ms`, `chunk_delay_ms` and `reset`; all may be left out. Bytes
/// that are no text are `{"base64": "..."}`.
#[derive(Clone, Debug)]
pub struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Content,
    trailers: HeaderMap,
    delay: Duration,
    chunk_delay: Duration,
    reset: bool,
}

#[derive(Clone, Debug)]
enum Content {
    Whole(Bytes),
    Chunks(Vec<Bytes>),
    /// For the first request that it answers.
    Stream(Arc<Mutex<Option<Channel<Bytes, Aborted>>>>),
}

impl Reply {
    /// A reply with this status, no fields and no body.
    ///
    /// # Panics
    /// If the status does not have three digits.
    pub fn status(status: u16) -> Self {
        Self {
            status: StatusCode::from_u16(status).expect("a status has three digits"),
            headers: HeaderMap::new(),
            body: Content::Whole(Bytes::new()),
            trailers: HeaderMap::new(),
            delay: Duration::ZERO,
            chunk_delay: Duration::ZERO,
            reset: false,
        }
    }

    /// Adds a header field.
    ///
    /// # Panics
    /// If hyper sends no such field (a name that is not a token, control characters):
    /// [`RawUpstream`](crate::RawUpstream) does.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        add_field(&mut self.headers, name, value.as_ref());
        self
    }

    /// The body, with its length.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Content::Whole(body.into());
        self
    }

    /// The body in pieces and without its length.
    pub fn chunks<T: Into<Bytes>>(mut self, chunks: impl IntoIterator<Item = T>) -> Self {
        self.body = Content::Chunks(chunks.into_iter().map(Into::into).collect());
        self
    }

    /// The body, without its length, is what is written into the sender, and ends when that is dropped. It answers one
    /// request: those that follow get 500.
    pub fn stream(mut self) -> (Sender<Bytes, Aborted>, Self) {
        let (sender, body) = Channel::new(1);
        self.body = Content::Stream(Arc::new(Mutex::new(Some(body))));
        (sender, self)
    }

    /// Adds a trailer field; the body goes without its length. In HTTP/1.1 they are sent if the request has
    /// `te: trailers`.
    ///
    /// # Panics
    /// As [`Reply::header`].
    pub fn trailer(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        add_field(&mut self.trailers, name, value.as_ref());
        self
    }

    /// Waits before the head.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Waits before each chunk.
    pub fn chunk_delay(mut self, delay: Duration) -> Self {
        self.chunk_delay = delay;
        self
    }

    /// Breaks off behind the chunks, or before the head if there are none: the connection is reset (HTTP/1.1, TCP RST)
    /// or the stream is (HTTP/2, `RST_STREAM`).
    pub fn reset(mut self) -> Self {
        self.reset = true;
        self
    }

    fn from_json(json: &[u8]) -> Result<Self> {
        let wire: Wire = serde_json::from_slice(json)?;
        let mut reply = Self {
            status: StatusCode::from_u16(wire.status.unwrap_or(200))?,
            delay: Duration::from_millis(wire.delay_ms),
            chunk_delay: Duration::from_millis(wire.chunk_delay_ms),
            reset: wire.reset,
            ..Self::status(200)
        };
        for (map, fields) in [(&mut reply.headers, wire.headers), (&mut reply.trailers, wire.trailers)] {
            for (name, value) in fields {
                let (name, value) = field(&name, value.as_bytes())?;
                map.append(name, value);
            }
        }
        match (wire.body, wire.chunks) {
            (Some(_), Some(_)) => bail!("body and chunks exclude each other"),
            (Some(body), None) => Ok(reply.body(bytes_from_json(&body)?)),
            (None, Some(chunks)) => {
                let chunks = chunks.iter().map(bytes_from_json).collect::<Result<Vec<_>>>()?;
                Ok(reply.chunks(chunks))
            }
            (None, None) => Ok(reply),
        }
    }

    fn echo(request: &Received) -> Self {
        let body = format!("{:#}\n", request.to_json());
        Self::status(200).header("content-type", "application/json").body(body)
    }
}

/// A [`Reply`] in JSON.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wire {
    status: Option<u16>,
    headers: Vec<(String, String)>,
    body: Option<Value>,
    chunks: Option<Vec<Value>>,
    trailers: Vec<(String, String)>,
    delay_ms: u64,
    chunk_delay_ms: u64,
    reset: bool,
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    // The connections end with this task.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((socket, _)) = listener.accept() => { connections.spawn(serve_connection(socket, Arc::clone(&state))); }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves a connection. How it ends concerns the other side only.
async fn serve_connection(socket: TcpStream, state: Arc<State>) -> Result<()> {
    socket.set_nodelay(true)?;
    let handle = Arc::new(socket.as_fd().try_clone_to_owned()?);
    let service = service_fn(move |request| answer(request, Arc::clone(&state), Arc::clone(&handle)));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).max_headers(MAX_HEADERS).max_buf_size(MAX_HEAD as usize);
    builder.http2().timer(TokioTimer::new()).max_header_list_size(MAX_HEAD);
    let served = builder.serve_connection(TokioIo::new(socket), service).await;
    served.map_err(|error| anyhow::anyhow!(error))
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<State>,
    socket: Arc<OwnedFd>,
) -> Result<Response<BoxBody<Bytes, Aborted>>, Aborted> {
    let version = request.version();
    let request = receive(request).await;
    let reply = match request.headers.bytes(REMOTE_CONTROL).first() {
        Some(json) => Reply::from_json(json).unwrap_or_else(|error| {
            Reply::status(400).body(format!("the header {REMOTE_CONTROL} is wrong: {error:#}\n"))
        }),
        None => {
            let responder = state.responder.lock().unwrap_or_else(PoisonError::into_inner).clone();
            responder.and_then(|responder| responder(&request)).unwrap_or_else(|| Reply::echo(&request))
        }
    };
    if !state.forgets.load(Ordering::Relaxed) {
        state.requests.send_modify(|requests| requests.push(request));
    }
    send(reply, version, socket).await
}

async fn receive(request: Request<Incoming>) -> Received {
    let (head, incoming) = request.into_parts();
    let host = head.headers.get(HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
    let authority = head.uri.authority().map(ToString::to_string).or(host).unwrap_or_default();
    let mut reader = Reader { body: incoming, http2: head.version == Version::HTTP_2 };
    let (mut body, mut trailers) = (BytesMut::new(), Fields::default());
    let complete = loop {
        match reader.frame().await {
            Ok(None) => break true,
            Err(_) => break false,
            Ok(Some(frame)) => match frame.into_data() {
                Ok(data) => body.extend_from_slice(&data),
                Err(frame) => trailers = frame.trailers_ref().map(Fields::from).unwrap_or_default(),
            },
        }
    };
    Received {
        method: head.method.to_string(),
        path: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        authority,
        headers: (&head.headers).into(),
        body: body.freeze(),
        trailers,
        complete,
    }
}

async fn send(
    reply: Reply,
    version: Version,
    socket: Arc<OwnedFd>,
) -> Result<Response<BoxBody<Bytes, Aborted>>, Aborted> {
    sleep(reply.delay).await;
    let reset = move || {
        if version < Version::HTTP_2 {
            // Closing the socket now sends RST instead of FIN.
            SockRef::from(&*socket).set_linger(Some(Duration::ZERO)).expect("a socket can linger");
        }
        Aborted
    };
    let chunks = match reply.body {
        Content::Whole(body) if reply.trailers.is_empty() && !reply.reset => {
            return Ok(respond(reply.status, reply.headers, Full::new(body).map_err(never).boxed()));
        }
        Content::Whole(body) if body.is_empty() => vec![],
        Content::Whole(body) => vec![body],
        Content::Chunks(chunks) => chunks,
        Content::Stream(stream) => {
            let body = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
            return Ok(match body {
                Some(body) => respond(reply.status, reply.headers, body.boxed()),
                None => respond(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    HeaderMap::new(),
                    Full::new("the stream was sent already\n".into()).map_err(never).boxed(),
                ),
            });
        }
    };
    if reply.reset && chunks.is_empty() {
        return Err(reset());
    }
    let mut headers = reply.headers;
    if version < Version::HTTP_2 {
        // HTTP/1.1 sends announced trailers only.
        for name in reply.trailers.keys() {
            headers.append(TRAILER, HeaderValue::from(name.clone()));
        }
    }
    let (mut sender, body) = Channel::new(1);
    tokio::spawn(async move {
        for chunk in chunks {
            sleep(reply.chunk_delay).await;
            sender.send_data(chunk).await?;
        }
        if reply.reset {
            // A reset overtakes what was not sent yet: the chunks must be on their way, and nothing tells when they are.
            sleep(Duration::from_millis(20)).await;
            sender.abort(reset());
        } else if !reply.trailers.is_empty() {
            sender.send_trailers(reply.trailers).await?;
        }
        Ok::<_, http_body_util::channel::SendError>(())
    });
    Ok(respond(reply.status, headers, body.boxed()))
}

fn respond<B>(status: StatusCode, headers: HeaderMap, body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn never(never: Infallible) -> Aborted {
    match never {}
}
