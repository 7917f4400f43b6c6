//! `meshgate render envoy`: a bootstrap that runs as it is, or the filters alone.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::input::{Input, Link};
use super::local_reply::{self, Errors};
use super::yaml::{Map, Yaml};
use super::{Document, Output, plugin};

/// Print a configuration of Envoy
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Envoy {
    #[command(flatten)]
    input: Input,

    /// What is printed
    #[arg(long, value_enum, default_value_t)]
    form: Form,

    /// Where Envoy finds the modules, api_key_quota.wasm and the others
    #[arg(long, value_name = "DIR", default_value = "/etc/envoy/meshgate")]
    modules: String,

    /// Where Envoy listens
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:10000", value_parser = address)]
    listen: Address,

    /// Where its admin page is: never where others can reach it
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9901", value_parser = address)]
    admin: Address,

    /// The service behind it
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:10001", value_parser = address)]
    upstream: Address,

    #[command(flatten)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  meshgate render envoy quota.yaml --modules target/wasm32-wasip1/release > envoy.yaml
  meshgate render envoy error-response.yaml quota.yaml --upstream orders:8080 --output envoy.yaml
  meshgate render envoy dlp.yaml --form filter           the entries of http_filters alone";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// All that Envoy needs to run
    #[default]
    Bootstrap,
    /// The entries of http_filters
    Filter,
}

/// A host and a port.
#[derive(Clone, Debug)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

/// What a bootstrap is made of, beside its filters.
pub struct Places<'a> {
    pub listen: &'a Address,
    pub admin: &'a Address,
    pub upstream: &'a Address,
    pub modules: &'a str,
}

impl Envoy {
    /// Runs the command.
    ///
    /// # Errors
    /// Something could not be written.
    pub fn run(self) -> io::Result<ExitCode> {
        let links = match self.input.read().finish()? {
            Ok(links) => links,
            Err(status) => return Ok(status),
        };
        let yaml = match self.form {
            Form::Filter => Yaml::from(filters(&links, &self.modules)),
            Form::Bootstrap => bootstrap(
                &links,
                &Places {
                    listen: &self.listen,
                    admin: &self.admin,
                    upstream: &self.upstream,
                    modules: &self.modules,
                },
            )
            .into(),
        };
        self.output.write(&[Document { name: "envoy".to_owned(), yaml }])?;
        Ok(ExitCode::SUCCESS)
    }
}

fn filters(links: &[Link], modules: &str) -> Vec<Map> {
    let filter = |link: &Link| {
        let module = link.config.filter.name.replace('-', "_");
        let path = Path::new(modules).join(module).with_extension("wasm");
        plugin::filter(&link.name, link, plugin::local(&path.to_string_lossy()))
    };
    links.iter().map(filter).collect()
}

/// A bootstrap with one listener and the cluster `upstream`.
pub fn bootstrap(links: &[Link], places: &Places<'_>) -> Map {
    let router =
        Map::new().with("@type", "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router");
    let mut filters = filters(links, places.modules);
    filters.push(Map::new().with("name", "envoy.filters.http.router").with("typed_config", router));
    let route = Map::new()
        .with("match", Map::new().with("prefix", "/"))
        .with("route", Map::new().with("cluster", "upstream"));
    let host = Map::new().with("name", "all").with("domains", vec!["*"]).with("routes", vec![route]);
    let errors = links.iter().find(|link| link.config.filter.name == "error-response");
    let local_reply = errors.map(|link| local_reply::config(&link.config, Errors::Unseen).0);
    let mut manager = Map::new()
        .with(
            "@type",
            "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        )
        .with("stat_prefix", "main")
        .with_comment(
            "The path that rules see is the one that is routed and that the upstream gets.",
            "normalize_path",
            true,
        )
        .with("merge_slashes", true)
        .with("path_with_escaped_slashes_action", "REJECT_REQUEST")
        .with("access_log", vec![access_log()]);
    if let Some(local_reply) = local_reply {
        manager = manager.with_comment(
            "What Envoy answers before a filter has seen the request.",
            "local_reply_config",
            local_reply,
        );
    }
    let manager = manager
        .with_comment(
            "A request passes them from the first to the last, its response the other way round.",
            "http_filters",
            filters,
        )
        .with("route_config", Map::new().with("virtual_hosts", vec![host]));
    let manager = Map::new()
        .with("name", "envoy.filters.network.http_connection_manager")
        .with("typed_config", manager);
    let listener = Map::new()
        .with("name", "main")
        .with("address", socket_address(places.listen))
        .with("filter_chains", vec![Map::new().with("filters", vec![manager])]);
    let resources =
        Map::new().with("listeners", vec![listener]).with("clusters", vec![cluster(places.upstream)]);
    Map::new()
        .with("admin", Map::new().with("address", socket_address(places.admin)))
        .with("static_resources", resources)
}

/// Who asked for what, and what came of it.
fn access_log() -> Map {
    const FORMAT: &str =
        "[%START_TIME(%T)%] %REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS%\n";
    let format = Map::new().with("text_format_source", Map::new().with("inline_string", FORMAT));
    let logger = Map::new()
        .with("@type", "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog")
        .with("log_format", format);
    Map::new().with("name", "envoy.access_loggers.stdout").with("typed_config", logger)
}

fn cluster(upstream: &Address) -> Map {
    let kind = if upstream.host.parse::<IpAddr>().is_ok() { "STATIC" } else { "STRICT_DNS" };
    let endpoint = Map::new().with("endpoint", Map::new().with("address", socket_address(upstream)));
    let endpoints = vec![Map::new().with("lb_endpoints", vec![endpoint])];
    let assignment = Map::new().with("cluster_name", "upstream").with("endpoints", endpoints);
    Map::new()
        .with("name", "upstream")
        .with("type", kind)
        .with("connect_timeout", "1s")
        .with("load_assignment", assignment)
}

fn socket_address(address: &Address) -> Map {
    let socket = Map::new().with("address", address.host.as_str()).with("port_value", address.port);
    Map::new().with("socket_address", socket)
}

/// `127.0.0.1:10000`, `orders.internal:8080`, `[::1]:80`
pub fn address(text: &str) -> Result<Address, String> {
    let wrong = || "expected a host and a port, such as 127.0.0.1:10000".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    let inside = |char: char| char.is_ascii_alphanumeric() || ".-_:".contains(char);
    if host.is_empty() || !host.chars().all(inside) || host.contains(':') && host.parse::<IpAddr>().is_err() {
        return Err(wrong());
    }
    Ok(Address { host: host.to_owned(), port })
}
