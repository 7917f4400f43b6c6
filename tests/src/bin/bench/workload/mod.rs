//! The requests and the bodies of the answers, and what the filters that look at them are configured with: the same for all.

pub mod bodies;
pub mod quota;
pub mod tokens;

/// With `host` the ten header fields of a usual client.
pub const HEADERS: [(&str, &str); 9] = [
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("accept", "application/json, text/plain, */*"),
    ("accept-language", "en-GB,en;q=0.7,de;q=0.3"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("origin", "https://app.example.com"),
    ("referer", "https://app.example.com/orders?page=2"),
    ("cache-control", "no-cache"),
    ("cookie", "session=5f0c1d6a9b3e47c28d51; theme=dark"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
];
/// That of the last consumer: a filter that walks a list has to walk it.
pub const KEY: (&str, &str) = ("x-api-key", "mg_live_4f7c2a9e8b1d06359c_99");
