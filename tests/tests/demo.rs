//! `demo`, as `make run` starts it: with a bootstrap of its own and ports that are free.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use meshgate_e2e::Client;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(60);

/// A bootstrap on free ports.
struct Bootstrap {
    dir: TempDir,
    listener: u16,
    upstream: u16,
}

impl Bootstrap {
    fn new() -> Self {
        Self::with_filter("")
    }

    fn with_filter(filter: &str) -> Self {
        // All are held until all are known, so that they differ.
        let held = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [listener, admin, upstream] = held.each_ref().map(|held| held.local_addr().unwrap().port());
        let yaml = format!(
            r#"# A bootstrap without modules. Try:
#   curl -i http://127.0.0.1:{listener}/direct # 200
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
        Self { dir, listener, upstream }
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
            lines.push(line.unwrap_or_else(|| panic!("the demo ended after {lines:?}")));
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
        assert_eq!(said, [format!("{at}/direct # 200"), format!("{at}/nowhere  # 404"), "ready".into()]);

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

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_one_line() {
    let bootstrap = Bootstrap::new();
    for port in [bootstrap.listener, bootstrap.upstream] {
        let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let complaint = complaint(bootstrap.demo().spawn().unwrap()).await;
        assert!(complaint.starts_with(&format!("error: port {port} is not free: ")), "{complaint}");
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
