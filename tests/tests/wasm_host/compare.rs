//! What is seen of an exchange, without what is another's to say or differs from one moment to the next.

use std::fmt::Write as _;

use meshgate_e2e::{Fields as EnvoyFields, Received as EnvoyReceived, Response as EnvoyResponse};
use meshgate_wasm_host::{Exchange, Fields, Outcome};

type Sorted = Vec<(String, String)>;

/// What client, upstream and access log see.
#[derive(Debug, PartialEq)]
pub struct Seen {
    status: u16,
    headers: Sorted,
    body: String,
    trailers: Sorted,
    details: String,
    upstream: Option<Forwarded>,
}

#[derive(Debug, PartialEq)]
struct Forwarded {
    line: String,
    headers: Sorted,
    body: String,
    trailers: Sorted,
}

pub fn of_envoy(response: &EnvoyResponse, upstream: Option<&EnvoyReceived>, details: &str) -> Seen {
    let fields =
        |fields: &EnvoyFields| sorted(fields.iter().map(|(name, value)| (name.to_owned(), value.to_vec())));
    Seen {
        status: response.status,
        headers: fields(&response.headers),
        body: timeless(&response.body),
        trailers: fields(&response.trailers),
        details: details.trim_end().to_owned(),
        upstream: upstream.map(|received| Forwarded {
            line: format!("{} {} {}", received.method, received.authority, received.path),
            headers: fields(&received.headers),
            body: timeless(&received.body),
            trailers: fields(&received.trailers),
        }),
    }
}

/// A response that breaks off: how much of it has come is a matter of timing.
pub fn broken() -> Seen {
    Seen {
        status: 0,
        headers: vec![],
        body: "breaks off".to_owned(),
        trailers: vec![],
        details: String::new(),
        upstream: None,
    }
}

pub fn of_host(exchange: &Exchange) -> Seen {
    if let Outcome::Reset(_) = exchange.outcome {
        return broken();
    }
    let fields =
        |fields: &Fields| sorted(fields.iter().map(|(name, value)| (name.to_owned(), value.to_vec())));
    let response = exchange.response();
    Seen {
        status: response.status,
        headers: fields(&response.headers),
        body: timeless(&response.whole_body()),
        trailers: fields(&response.trailers),
        // As access logs write them.
        details: exchange.details.replace(' ', "_"),
        upstream: exchange.upstream().filter(|_| reaches_upstream(exchange)).map(|received| Forwarded {
            line: format!(
                "{} {} {}",
                received.pseudo(":method"),
                received.pseudo(":authority"),
                received.pseudo(":path")
            ),
            headers: fields(&received.headers),
            body: timeless(&received.body),
            trailers: fields(&received.trailers),
        }),
    }
}

/// What the router gets does not get further if there is no way, or where nobody listens.
fn reaches_upstream(exchange: &Exchange) -> bool {
    !exchange.details.starts_with("route_not_found") && !exchange.details.contains("connection_failure")
}

/// Without what codecs and the router add.
fn sorted(fields: impl Iterator<Item = (String, Vec<u8>)>) -> Sorted {
    const OF_OTHERS: [&str; 10] = [
        "date",
        "server",
        "transfer-encoding",
        "connection",
        "host",
        "te",
        "trailer",
        "x-request-id",
        // In which parts a body comes is the codec's and the network's to say.
        "x-probe-report",
        "keep-alive",
    ];
    let mut all: Sorted = fields
        .filter(|(name, _)| {
            !OF_OTHERS.contains(&name.as_str()) && !name.starts_with([':']) && !name.starts_with("x-envoy-")
        })
        // What ends with its head gets this from the codec.
        .filter(|(name, value)| name != "content-length" || value != b"0")
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(&value).into_owned();
            // The seconds that are left.
            let value = if name == "ratelimit" { blank(&value, "t=", |c| c.is_ascii_digit()) } else { value };
            (name, value)
        })
        .collect();
    all.sort();
    all
}

/// Without times and the ids of requests.
fn timeless(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text = blank(&text, "\"timestamp\":\"", |c| c != '"');
    let text = blank(&text, "\"request_id\":\"", |c| c != '"');
    blank(&text, "timestamp: ", |c| !c.is_whitespace())
}

/// Blanks what follows a mark.
fn blank(text: &str, mark: &str, is_part: impl Fn(char) -> bool) -> String {
    let mut parts = text.split(mark);
    let mut blanked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        blanked.push_str(mark);
        blanked.push_str(part.trim_start_matches(&is_part));
    }
    blanked
}

/// The lines of both that differ.
pub fn differences(envoy: &Seen, host: &Seen) -> String {
    let (envoy, host) = (format!("{envoy:#?}"), format!("{host:#?}"));
    let mut text = String::new();
    let only = |these: &str, those: &str, sign: &str, text: &mut String| {
        for line in these.lines().filter(|line| !those.contains(line)) {
            let _ = writeln!(text, "  {sign}{line}");
        }
    };
    only(&envoy, &host, "envoy", &mut text);
    only(&host, &envoy, "host ", &mut text);
    if text.is_empty() && envoy != host {
        let _ = write!(text, "{envoy}\n{host}");
    }
    text
}
