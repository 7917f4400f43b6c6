//! A load generator for requests that differ: those of oha have all the same header fields.
//!
//! It counts as oha does, but it is another one, so figures of lanes with such requests compare with each other only: they have
//! baselines of their own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::lanes::SMALL;
use crate::load::{CONNECTIONS, Outcome};
use crate::workload;

/// Requests, and what tells that an answer is good and complete. Answers are not parsed: this must not become the slower side.
pub struct Requests<W> {
    /// Writes the request of this number, as it goes over the wire.
    pub write: W,
    /// How answers begin: the version and the status.
    pub begin: &'static [u8],
    /// How they end.
    pub end: &'static [u8],
}

/// When it ends.
#[derive(Clone, Copy)]
pub enum Until {
    /// After so many requests, of the numbers from here on.
    Sent { first: u64, requests: u64 },
    /// After so long.
    Over(Duration),
}

/// Sends requests over as many connections as oha has.
pub async fn send<W>(to: SocketAddr, until: Until, requests: Requests<W>) -> Result<Outcome>
where
    W: Fn(u64, &mut Vec<u8>) + Send + Sync + 'static,
{
    let first = match until {
        Until::Sent { first, .. } => first,
        Until::Over(_) => 0,
    };
    let (requests, next) = (Arc::new(requests), Arc::new(AtomicU64::new(first)));
    let start = Instant::now();
    let goes_on = move |number| match until {
        Until::Sent { first, requests } => number < first + requests,
        Until::Over(time) => start.elapsed() < time,
    };
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
        connections.spawn(async move {
            let mut connection = Connection::open(to).await?;
            let mut times = vec![];
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if !goes_on(number) {
                    return anyhow::Ok(times);
                }
                times.push(connection.exchange(number, &requests).await?);
            }
        });
    }
    let mut times = vec![];
    while let Some(done) = connections.join_next().await {
        times.extend(done??);
    }
    let seconds = start.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |part: f64| {
        let place = (times.len().saturating_sub(1) as f64 * part) as usize;
        times.get(place).map(|time| time.as_secs_f64() * 1e6).context("nothing was answered")
    };
    Ok(Outcome { requests: times.len() as u64, seconds, p50_us: at(0.5)?, p99_us: at(0.99)? })
}

/// The requests of the bench, each with the next of these values of `authorization`.
pub fn with_tokens(
    tokens: &'static [String],
) -> Requests<impl Fn(u64, &mut Vec<u8>) + Send + Sync + 'static> {
    let head = head();
    let write = move |number: u64, out: &mut Vec<u8>| {
        let token = &tokens[number as usize % tokens.len()];
        out.extend_from_slice(&head);
        out.extend_from_slice(b"authorization: ");
        out.extend_from_slice(token.as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
    };
    Requests { write, begin: b"HTTP/1.1 200 ", end: SMALL.as_bytes() }
}

/// What all requests begin with: the request line and the fields of the bench, without a credential.
pub fn head() -> Vec<u8> {
    let mut head = b"GET / HTTP/1.1\r\nhost: localhost\r\n".to_vec();
    for (name, value) in workload::HEADERS {
        head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    head
}

struct Connection {
    stream: TcpStream,
    out: Vec<u8>,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(to: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(to).await.with_context(|| format!("connecting to {to}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, out: vec![], answer: vec![] })
    }

    /// Sends one request and reads its answer. How long that took.
    async fn exchange<W: Fn(u64, &mut Vec<u8>)>(
        &mut self,
        number: u64,
        requests: &Requests<W>,
    ) -> Result<Duration> {
        let Self { stream, out, answer } = self;
        out.clear();
        answer.clear();
        (requests.write)(number, out);
        let start = Instant::now();
        stream.write_all(out).await?;
        while !answer.ends_with(requests.end) {
            let read = stream.read_buf(answer).await?;
            ensure!(read > 0 && is_good(answer, requests.begin), "the answer is {:?}", first_line(answer));
        }
        Ok(start.elapsed())
    }
}

fn is_good(answer: &[u8], begin: &[u8]) -> bool {
    let both = answer.len().min(begin.len());
    answer[..both] == begin[..both]
}

fn first_line(answer: &[u8]) -> String {
    String::from_utf8_lossy(answer.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use meshgate_e2e::{Reply, Upstream};

    use super::*;

    async fn sent(status: u16) -> Result<Outcome> {
        let upstream = Upstream::start().await?;
        upstream.respond(Reply::status(status).body(SMALL));
        let until = Until::Sent { first: 5, requests: 40 };
        let write = |number: u64, out: &mut Vec<u8>| {
            out.extend_from_slice(format!("GET /{number} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes());
        };
        let requests = Requests { write, begin: b"HTTP/1.1 200 ", end: SMALL.as_bytes() };
        let outcome = send(upstream.addr(), until, requests).await?;
        let mut paths: Vec<_> = upstream.requests().iter().map(|request| request.path.clone()).collect();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), 40, "{paths:?}");
        Ok(outcome)
    }

    #[tokio::test]
    async fn each_request_is_sent_once_and_answered() {
        let outcome = sent(200).await.unwrap();
        assert_eq!(outcome.requests, 40);
        assert!(outcome.p50_us > 0.0 && outcome.p50_us <= outcome.p99_us);
    }

    #[tokio::test]
    async fn an_answer_of_another_status_is_an_error() {
        let error = sent(401).await.err().unwrap();
        assert!(error.to_string().contains("401"), "{error}");
    }
}
