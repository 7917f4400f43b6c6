//! `demo`, as `make run` starts it: with a bootstrap of its own or those of `envoy-configs/`, on ports that are free.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use meshgate_e2e::{Client, paths};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// How long anything may take: an Envoy with all the filters starts in seconds, unless the machine is busy.
const PATIENCE: Duration = Duration::from_secs(180);

/// Three free ports, held: of the listener, the admin interface and the upstream.
type Held = [TcpListener; 3];

/// They are not among those that the system gives to whoever asks for any (RFC 6335, section 6), so that nobody else gets one
/// between the moment when it is let go and that when the demo binds it.
fn hold_ports() -> Held {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    [(); 3].map(|()| {
        // A second run of these tests begins elsewhere.
        let from = u16::try_from(std::process::id() % 10_000).unwrap();
        let port = || 15_000 + from.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        std::iter::repeat_with(port).find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).unwrap()
    })
}

fn numbers(held: &Held) -> [u16; 3] {
    held.each_ref().map(|held| held.local_addr().unwrap().port())
}

/// A bootstrap on free ports.
struct Bootstrap {
    dir: TempDir,
    listener: u16,
}

impl Bootstrap {
    fn new() -> Self {
        Self::with_filter("")
    }

    fn with_filter(filter: &str) -> Self {
        Self::on(numbers(&hold_ports()), filter)
    }

    fn on([listener, admin, upstream]: [u16; 3], filter: &str) -> Self {
        let yaml = format!(
            r#"# A bootstrap without modules. Try:
#   curl -i http://127.0.0.1:{listener}/direct # 200 OK
#   curl -i http://127.0.0.1:{listener}/nowhere  # 404
# curl is a program, and this line is not for it.
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
static_resources:
  listeners:
    - name: demo
      address: {{socket_address: {{address: 127.0.0.1, port_value: {listener}}}}}
      filter_chains:
        - filters:
            - name: http
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: demo
                http_filters:
                  {filter}
                  - name: router
                    typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes:
                        - {{match: {{prefix: /echo}}, route: {{cluster: upstream}}}}
                        - {{match: {{path: /direct}}, direct_response: {{status: 200}}}}
  clusters:
    - name: upstream
      type: STATIC
      load_assignment:
        cluster_name: upstream
        endpoints:
          - lb_endpoints:
              - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}
"#
        );
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("envoy.yaml"), yaml).unwrap();
        Self { dir, listener }
    }

    /// A bootstrap of the documentation, on free ports and with the modules where they were built.
    fn copy(original: &Path) -> Self {
        const PORTS: [u16; 3] = [10000, 9901, 10001];
        let mut yaml = std::fs::read_to_string(original).unwrap();
        let free = numbers(&hold_ports());
        for (port, free) in PORTS.into_iter().zip(free) {
            let (listens, asks) = (format!("port_value: {port}}}"), format!("http://127.0.0.1:{port}/"));
            assert!(yaml.contains(&listens), "{} does not use port {port}", original.display());
            yaml = yaml.replace(&listens, &format!("port_value: {free}}}"));
            yaml = yaml.replace(&asks, &format!("http://127.0.0.1:{free}/"));
        }
        let modules = format!("filename: {}/", paths::target_dir().display());
        let yaml = yaml.replace("filename: target/", &modules);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("envoy.yaml"), yaml).unwrap();
        let [listener, ..] = free;
        Self { dir, listener }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("envoy.yaml")
    }

    fn demo(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
        command.arg(self.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true);
        command
    }

    /// The demo, when it said `ready`, and what it said up to there.
    async fn ready(&self) -> (Child, Vec<String>) {
        let mut demo = self.demo().spawn().unwrap();
        let mut stdout = BufReader::new(demo.stdout.take().unwrap()).lines();
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line| line != "ready") {
            let line = timeout(PATIENCE, stdout.next_line()).await.expect("the demo says something").unwrap();
            let Some(line) = line else {
                let said = output(demo).await.stderr;
                panic!("the demo ended after {lines:?}: {}", String::from_utf8_lossy(&said));
            };
            lines.push(line);
        }
        (demo, lines)
    }

    /// The Envoys that run with this bootstrap.
    fn envoys(&self) -> Vec<Pid> {
        let path = self.path();
        let runs = |pid: &i32| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut arguments = command.split(|&byte| byte == 0);
            let program = Path::new(std::str::from_utf8(arguments.next()?).ok()?).file_name()?;
            let ours = arguments.any(|argument| argument == path.as_os_str().as_encoded_bytes());
            (program != "demo" && ours).then_some(())
        };
        let processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
        let pids = processes.filter_map(|name| name.to_str()?.parse().ok());
        pids.filter(|pid| runs(pid).is_some()).map(Pid::from_raw).collect()
    }
}

fn pid(demo: &Child) -> Pid {
    Pid::from_raw(demo.id().unwrap().try_into().unwrap())
}

async fn output(demo: Child) -> Output {
    timeout(PATIENCE, demo.wait_with_output()).await.expect("the demo ends").unwrap()
}

/// What the demo wrote to standard error when it ended with an error.
async fn complaint(demo: Child) -> String {
    let output = output(demo).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_to_try_serves_and_stops_on_a_signal() {
    for stop in [Signal::SIGINT, Signal::SIGTERM] {
        let bootstrap = Bootstrap::new();
        let (demo, said) = bootstrap.ready().await;
        let at = format!("curl -i http://127.0.0.1:{}", bootstrap.listener);
        assert_eq!(said, [format!("{at}/direct # 200 OK"), format!("{at}/nowhere  # 404"), "ready".into()]);

        let client = Client::http1(([127, 0, 0, 1], bootstrap.listener).into());
        assert_eq!(client.get("/direct").send().await.unwrap().status, 200);
        assert_eq!(client.get("/nowhere").send().await.unwrap().status, 404);
        assert_eq!(client.get("/echo").send().await.unwrap().echo().path, "/echo");
        assert_eq!(bootstrap.envoys().len(), 1);

        kill(pid(&demo), stop).unwrap();
        let output = output(demo).await;
        assert_eq!(output.status.code(), Some(0), "{stop}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "stopping\n");
        assert_eq!(bootstrap.envoys(), []);
    }
}

/// Twice, since a limit that a line uses up must not show in another, nor be used up by the line itself.
#[tokio::test(flavor = "multi_thread")]
async fn every_curl_line_of_every_bootstrap_does_what_it_says() {
    let mut bootstraps = 0;
    for file in std::fs::read_dir(paths::workspace().join("envoy-configs")).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        bootstraps += 1;
        let bootstrap = Bootstrap::copy(&file);
        let (_demo, mut lines) = bootstrap.ready().await;
        assert_eq!(lines.pop().as_deref(), Some("ready"));
        assert!(lines.len() >= 3, "{}: {lines:?}", file.display());
        for line in lines.iter().chain(&lines) {
            let (_, expected) = line.rsplit_once("# ").unwrap();
            let (status, text) = expected.split_once(' ').unwrap_or((expected, ""));
            let answer = curl(line).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}\n{answer}");
            assert!(answer.contains(text), "{line}\n{answer}");
        }
    }
    assert!(bootstraps > 0);
}

/// Twice, for the same reason.
#[tokio::test(flavor = "multi_thread")]
async fn the_readme_shows_what_the_demo_answers() {
    let bootstrap = Bootstrap::copy(&paths::workspace().join("envoy-configs/meshgate.yaml"));
    let (_demo, _) = bootstrap.ready().await;
    for _ in 0..2 {
        let mut console = Command::new(paths::workspace().join("scripts/console"));
        console.args([
            "--only",
            "127.0.0.1:10000",
            "--port",
            &format!("10000={}", bootstrap.listener),
            "README.md",
        ]);
        let output = console.current_dir(paths::workspace()).kill_on_drop(true).output();
        let output = timeout(PATIENCE, output).await.expect("curl ends").unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_never_used_up_ends_the_demo() {
    let bootstrap = Bootstrap::new();
    let yaml = std::fs::read_to_string(bootstrap.path()).unwrap();
    std::fs::write(bootstrap.path(), yaml.replace("/direct # 200 OK", "/direct # 429")).unwrap();
    let complaint = complaint(bootstrap.demo().spawn().unwrap()).await;
    let line = format!("curl -i http://127.0.0.1:{}/direct # 429", bootstrap.listener);
    assert_eq!(complaint, format!("error: 100 times this was not 429: {line}\n"));
    assert_eq!(bootstrap.envoys(), []);
}

/// What a line prints that was pasted into a shell.
async fn curl(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(PATIENCE, output).await.expect("curl ends").unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_one_line() {
    for taken in [0, 2] {
        let held = hold_ports();
        let ports = numbers(&held);
        let bootstrap = Bootstrap::on(ports, "");
        let _taken = held.into_iter().nth(taken).unwrap();
        let complaint = complaint(bootstrap.demo().spawn().unwrap()).await;
        assert!(complaint.starts_with(&format!("error: port {} is not free: ", ports[taken])), "{complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_one_line() {
    let bootstrap = Bootstrap::new();
    let no_envoy = complaint(bootstrap.demo().env("ENVOY", "/nonexistent/envoy").spawn().unwrap()).await;
    assert_eq!(
        no_envoy,
        "error: no Envoy at /nonexistent/envoy, where the environment variable ENVOY points\n"
    );
    std::fs::remove_file(bootstrap.path()).unwrap();
    let no_file = complaint(bootstrap.demo().spawn().unwrap()).await;
    assert!(no_file.starts_with("error: reading ") && no_file.lines().count() == 1, "{no_file}");
    std::fs::write(bootstrap.path(), "static_resources: {}").unwrap();
    let no_admin = complaint(bootstrap.demo().spawn().unwrap()).await;
    assert!(no_admin.contains("the admin interface") && no_admin.lines().count() == 1, "{no_admin}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_that_refuses_the_bootstrap_ends_the_demo() {
    let bootstrap = Bootstrap::with_filter("- name: no-such-filter");
    let complaint = complaint(bootstrap.demo().spawn().unwrap()).await;
    assert!(complaint.contains("no-such-filter"), "{complaint}");
    assert!(complaint.ends_with("error: Envoy ended by itself (exit status: 1)\n"), "{complaint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_that_dies_ends_the_demo() {
    let bootstrap = Bootstrap::new();
    let (demo, _) = bootstrap.ready().await;
    kill(bootstrap.envoys()[0], Signal::SIGKILL).unwrap();
    assert_eq!(complaint(demo).await, "error: Envoy ended by itself (signal: 9 (SIGKILL))\n");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn envoy_does_not_outlive_a_demo_that_was_killed() {
    let bootstrap = Bootstrap::new();
    let (demo, _) = bootstrap.ready().await;
    assert_eq!(bootstrap.envoys().len(), 1);
    kill(pid(&demo), Signal::SIGKILL).unwrap();
    output(demo).await;
    let gone = async {
        while !bootstrap.envoys().is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("Envoy ends");
}
