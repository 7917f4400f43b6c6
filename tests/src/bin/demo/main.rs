//! `demo <bootstrap.yaml>`: the example of a filter, to play with.
//!
//! Starts a service ([`service`]) where the bootstrap has its cluster `upstream`, and Envoy with the bootstrap as it is. Prints
//! the `curl` lines that stand in the comments of the file (`# curl ... # 200`, with a text behind the status that stands in
//! the answer), then `ready`. The limits of lines that say 429 are used up before, so that each line does what it says, in
//! any order and as often as one likes. Stays until Ctrl-C (or SIGTERM, or the terminal is closed), showing what Envoy
//! logs, and leaves no process behind.
//!
//! Its parts, for containers: `demo --service <address>` is the service alone, `demo --check <address>` asks whether it
//! answers, and `demo --say <text>` says so much and stays.

mod service;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Error, Result, bail, ensure};
use meshgate_e2e::admin::{Admin, socket_address};
use meshgate_e2e::process::Process;
use meshgate_e2e::{Client, Upstream, Value, envoy_command, paths};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["--service", addr] => {
            let mut signals = Signals::new()?;
            let _service = serve(address(addr)?).await?;
            signals.any().await;
            Ok(())
        }
        ["--check", addr] => {
            let response = Client::http1(address(addr)?).get("/").send().await?;
            ensure!(response.status == 200, "it answers {}", response.status);
            Ok(())
        }
        ["--say", text] => {
            let mut signals = Signals::new()?;
            println!("{}", text.trim_end());
            signals.any().await;
            Ok(())
        }
        [path] => demonstrate(path.into()).await,
        _ => bail!("usage: demo <bootstrap.yaml>"),
    }
}

fn address(text: &str) -> Result<SocketAddr> {
    text.parse().with_context(|| format!("{text} is not an address and a port, such as 127.0.0.1:10001"))
}

/// Starts the service.
async fn serve(addr: SocketAddr) -> Result<Upstream> {
    let service = Upstream::bind(addr).await?;
    service.keep_no_requests();
    service.respond_with(service::answer);
    Ok(service)
}

async fn demonstrate(bootstrap: PathBuf) -> Result<()> {
    let mut signals = Signals::new()?;
    let demo = Demo::read(bootstrap)?;
    let binary = paths::envoy_binary()?;
    demo.check_ports()?;
    let _upstream = match demo.upstream {
        Some(addr) => Some(serve(addr).await?),
        None => None,
    };

    let mut command = envoy_command(&binary, &demo.path);
    command
        .args(["--log-level", "warning", "--component-log-level", "wasm:info"])
        .args(["--log-format", "[%T.%e][%l][%n] %v"])
        // An access log on standard error shows while one looks at it.
        .args(["--file-flush-interval-msec", "100"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut envoy = Process::start(command)?;
    let log = tokio::spawn(show_log(envoy.stderr().context("Envoy's output is not piped")?));
    let ended = tokio::select! {
        status = envoy.wait() => Some(status),
        () = signals.any() => None,
        error = demo.present() => return Err(error),
    };
    if ended.is_none() {
        eprintln!("stopping");
        envoy.stop(Duration::from_secs(5)).await;
    }
    // What Envoy said last is shown before we say that it ended.
    log.await.context("showing Envoy's log")?;
    match ended {
        Some(status) => bail!("Envoy ended by itself ({status})"),
        None => Ok(()),
    }
}

/// What the bootstrap says about the demo.
struct Demo {
    path: PathBuf,
    listeners: Vec<SocketAddr>,
    admin: SocketAddr,
    upstream: Option<SocketAddr>,
    curls: Vec<String>,
}

impl Demo {
    fn read(path: PathBuf) -> Result<Self> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {name}"))?;
        Self::parse(&path, &text).with_context(|| name)
    }

    fn parse(path: &Path, text: &str) -> Result<Self> {
        let bootstrap: Value = yaml_serde::from_str(text)?;
        let list = |name: &str| bootstrap["static_resources"][name].as_array().map_or(&[][..], Vec::as_slice);
        let address = |holder: &Value| socket_address(&holder["address"]);
        let upstream = list("clusters").iter().find(|cluster| cluster["name"] == "upstream");
        let endpoint = |cluster: &Value| {
            address(&cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"])
        };
        Ok(Self {
            // Envoy runs in another directory than we may.
            path: path.canonicalize()?,
            listeners: list("listeners").iter().map(address).collect::<Result<_>>().context("a listener")?,
            admin: address(&bootstrap["admin"]).context("the admin interface")?,
            upstream: upstream.map(endpoint).transpose().context("the cluster `upstream`")?,
            curls: text.lines().filter_map(curl).map(str::to_owned).collect(),
        })
    }

    /// Envoy would share a port with another Envoy without a word, and tell of others in the middle of its log.
    fn check_ports(&self) -> Result<()> {
        for addr in self.listeners.iter().chain([&self.admin]).chain(&self.upstream) {
            TcpListener::bind(addr).with_context(|| {
                format!("port {} is not free: {} needs {addr}", addr.port(), self.path.display())
            })?;
        }
        Ok(())
    }

    /// Waits until Envoy serves and says what to try. Ends only if it can't.
    async fn present(&self) -> Error {
        let admin = Admin::new(self.admin);
        while !admin.ready().await {
            sleep(Duration::from_millis(20)).await;
        }
        for line in &self.curls {
            if let Err(error) = use_up(line).await {
                return error;
            }
        }
        for line in &self.curls {
            println!("{line}");
        }
        println!("ready");
        std::future::pending().await
    }
}

/// If this line says 429, runs it until it does: what it asks for is over its limit then, and the line is true.
async fn use_up(line: &str) -> Result<()> {
    const ENOUGH: usize = 100;
    let Some((command, expected)) = line.rsplit_once("# ") else { return Ok(()) };
    if !expected.starts_with("429") {
        return Ok(());
    }
    for _ in 0..ENOUGH {
        let command = format!("{command} -sS --noproxy '*' -o /dev/null -w '%{{http_code}}'");
        let output = Command::new("sh").arg("-c").arg(command).kill_on_drop(true).output().await?;
        match output.stdout.as_slice() {
            b"429" => return Ok(()),
            // Nothing answered: curl is missing, or the line is wrong.
            b"" | b"000" => bail!("{line}: {}", String::from_utf8_lossy(&output.stderr).trim_end()),
            _ => {}
        }
    }
    bail!("{ENOUGH} times this was not 429: {line}")
}

/// The command of a comment line that holds one, with what it says of the answer.
fn curl(line: &str) -> Option<&str> {
    let line = line.trim_start().strip_prefix('#')?.trim();
    let (_, answer) = line.strip_prefix("curl ")?.rsplit_once("# ")?;
    let status = answer.split(' ').next()?;
    status.parse::<u16>().is_ok().then_some(line)
}

/// Shows Envoy's warnings and what the modules log, without what every run says.
async fn show_log(log: impl AsyncRead + Unpin) {
    const NOISE: [&str; 2] = [
        "There is no configured limit to the number of allowed active downstream connections",
        // What we end it with.
        "caught ENVOY_SIGTERM",
    ];
    let mut lines = BufReader::new(log).split(b'\n');
    let mut wanted = true;
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line);
        // A message may have several lines, of which the first has the head.
        if line.starts_with('[') {
            wanted = !NOISE.iter().any(|noise| line.contains(noise));
        }
        if wanted {
            eprintln!("{line}");
        }
    }
}

/// The signals that end the demo.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> Result<Self> {
        let [interrupt, terminate, hangup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    async fn any(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
