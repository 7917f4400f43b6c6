//! Where something is asked for.

use std::time::Duration;

use meshgate_policy::config::{self, ConfigError, Path};
use meshgate_policy::headers::{HeaderValue, Headers};
use meshgate_policy::host::{Answer, HttpCall};

/// The longest that an answer may take.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// A resource behind a cluster of the proxy.
#[derive(Debug)]
pub struct Endpoint {
    cluster: Box<str>,
    headers: Headers,
    timeout: Duration,
    max_answer: usize,
}

impl Endpoint {
    /// Checks what is configured. `fields` come with each request.
    ///
    /// # Errors
    /// A [`ConfigError`] for what no request can be made of.
    pub fn compile(
        method: &str,
        (cluster, target, authority): (String, &str, Option<String>),
        timeout: config::Duration,
        fields: &[(&str, &str)],
        max_answer: usize,
        path: &Path,
    ) -> Result<Self, ConfigError> {
        if cluster.is_empty() {
            let error = ConfigError::at(path.key("cluster")).found("an empty name");
            return Err(error.expected("the name of a cluster in the proxy"));
        }
        if cluster.contains("://") {
            let error = ConfigError::at(path.key("cluster")).value(&cluster);
            let error = error.expected("the name of a cluster in the proxy, not a URL");
            return Err(error.hint("the host name goes into authority, what follows it into path"));
        }
        let plain = |text: &str| text.bytes().all(|byte| matches!(byte, b'!'..=b'~'));
        if !target.starts_with('/') || !plain(target) || target.contains('#') {
            let error = ConfigError::at(path.key("path")).value(target);
            return Err(error.expected("a path that starts with /, in printable ASCII"));
        }
        let given = authority.is_some();
        let authority = authority.unwrap_or_else(|| cluster.clone());
        // Names of clusters may have what no host has, such as the | of Istio.
        let host = authority.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte));
        if authority.is_empty() || !host || HeaderValue::new(authority.as_bytes()).is_err() {
            let error = ConfigError::at(path.key("authority"));
            let error = if given {
                error.value(&authority)
            } else {
                error.found(format!("none, and the cluster's name {authority:?} is no host name"))
            };
            return Err(error.expected("a host name, with a port or without, such as idp.example"));
        }
        let timeout_error = || ConfigError::at(path.key("timeout")).value(&timeout.to_string());
        let timeout = Duration::from(timeout);
        if timeout.is_zero() || timeout > MAX_TIMEOUT {
            return Err(timeout_error().expected("more than 0s and at most 1m"));
        }
        let pseudo = [(":method", method), (":path", target), (":authority", &authority)];
        let headers = Headers::from_pairs(pseudo.iter().chain(fields).copied());
        Ok(Self { cluster: cluster.into(), headers, timeout, max_answer })
    }

    /// The header of a request with these fields as well.
    pub fn with(&self, fields: &[(&str, &[u8])]) -> Headers {
        let own = self.headers.iter();
        Headers::from_pairs(own.chain(fields.iter().map(|(name, value)| (name.as_bytes(), *value))))
    }

    /// A request with another header, made by [`Endpoint::with`].
    pub fn call_with<'a>(&'a self, headers: &'a Headers) -> HttpCall<'a> {
        HttpCall { headers, ..self.call(b"") }
    }

    /// A request.
    pub fn call<'a>(&'a self, body: &'a [u8]) -> HttpCall<'a> {
        HttpCall {
            cluster: &self.cluster,
            headers: &self.headers,
            body,
            deadline: self.timeout,
            max_answer: self.max_answer,
        }
    }

    /// The name of the cluster, for logs.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The host name and the path of the resource, for names of shared values.
    pub fn url(&self) -> String {
        let field = |name| String::from_utf8_lossy(self.headers.first(name).unwrap_or_default()).into_owned();
        format!("{}{}", field(":authority"), field(":path"))
    }
}

/// The body of an answer, if it is a good one.
pub fn body(answer: &Answer) -> Result<&[u8], String> {
    match answer {
        Answer::Http { headers, body } if headers.first(":status") == Some(b"200") => Ok(body),
        Answer::Http { headers, .. } => {
            let status = headers.first(":status").unwrap_or_default();
            Err(format!("status {}", status.escape_ascii()))
        }
        Answer::Failed(error) => Err(error.to_string()),
        Answer::Grpc { .. } | Answer::GrpcStatus { .. } => Err("not an HTTP response".to_owned()),
    }
}
