//! All of `docker-compose.yml` on a Docker engine: what the README tells to type, one line after the other.

use std::time::{Duration, Instant};

use meshgate_e2e::Value;
use tokio::time::sleep;

use super::dashboard::{Query, queries};
use super::*;

/// The modules are built on the way, from nothing.
const BUILD: Duration = Duration::from_secs(3_000);
const PATIENCE: Duration = Duration::from_secs(180);

/// The lines of the README's blocks `sh`: a command, and what it prints.
fn lines() -> Vec<(String, String)> {
    let readme = read("README.md");
    let blocks = readme.split("```sh\n").skip(1).map(|block| block.split_once("\n```").unwrap().0);
    let lines = blocks.flat_map(str::lines);
    lines
        .map(|line| {
            let (command, expected) = line.rsplit_once(" # ").unwrap_or((line, ""));
            (command.trim_end().to_owned(), expected.to_owned())
        })
        .collect()
}

#[test]
fn the_readme_shows_each_feature() {
    let lines = lines();
    for feature in ["401 problem+json", "429 retry-after", "200 **** **** **** 1111", "500 problem+json"] {
        assert!(lines.iter().any(|(_, expected)| expected == feature), "{feature} in {lines:?}");
    }
    assert!(lines.first().is_some_and(|(command, _)| command.contains(" up --build ")), "{lines:?}");
    assert!(lines.last().is_some_and(|(command, _)| command.ends_with(" down --volumes")), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Docker engine, and builds the modules in it: make test-compose"]
async fn the_readme_is_true_of_real_containers() {
    for (command, expected) in lines() {
        let start = Instant::now();
        if command.contains(" down ") {
            every_query_has_a_result().await;
            nothing_else_is_allowed().await;
        }
        if command.contains(" up ") {
            sh(&command, BUILD).await;
        } else if command.contains("127.0.0.1:9090/") {
            // Prometheus knows of what happened some seconds later.
            eventually(&command, || async { shows(&command, &expected).await }).await;
        } else {
            shows(&command, &expected).await.unwrap_or_else(|wrong| panic!("{wrong}"));
        }
        eprintln!("{:4} s  {command}", start.elapsed().as_secs());
    }
    let project = std::env::var("COMPOSE_PROJECT_NAME").unwrap_or_else(|_| "meshgate".into());
    let label = format!("--filter label=com.docker.compose.project={project}");
    for what in ["ps --all", "volume ls", "network ls"] {
        let left = sh(&format!("docker {what} --quiet {label}"), PATIENCE).await;
        assert_eq!(left, "", "left behind: docker {what}");
    }
}

/// Whether a command prints what is said of it: with `curl -i`, first the status.
async fn shows(command: &str, expected: &str) -> Result<(), String> {
    let printed = sh(command, PATIENCE).await;
    let (status, text) = if command.starts_with("curl -i ") {
        expected.split_once(' ').unwrap_or((expected, ""))
    } else {
        ("", expected)
    };
    let starts = status.is_empty() || printed.starts_with(&format!("HTTP/1.1 {status} "));
    if starts && printed.contains(text) { Ok(()) } else { Err(format!("{command} # {expected}\n{printed}")) }
}

/// Each query of the dashboard has numbers, once Prometheus has seen traffic of all kinds.
async fn every_query_has_a_result() {
    for Query { panel, expr, .. } in queries() {
        let expr = expr.replace("$__rate_interval", "30s");
        eventually(&format!("{panel}: {expr}"), || async {
            traffic().await;
            let url = "http://127.0.0.1:9090/api/v1/query";
            let line = format!("curl -sS {url} --data-urlencode 'query={expr}'");
            let answer: Value = serde_json::from_str(&sh(&line, PATIENCE).await).unwrap();
            assert_eq!(answer["status"], "success", "{expr}: {answer}");
            let results = answer["data"]["result"].as_array().unwrap();
            let number = |result: &Value| result["value"][1].as_str().unwrap().parse::<f64>().unwrap();
            let finite = results.iter().any(|result| number(result).is_finite());
            if finite { Ok(()) } else { Err(answer.to_string()) }
        })
        .await;
    }
}

/// A request of each kind that something is counted of.
async fn traffic() {
    let gold = "-H 'x-api-key: demo-gold-key'";
    let requests = [("items", ""), ("items", gold), ("payments/7", gold), ("broken", gold)]
        .into_iter()
        .chain([("items", "-H 'x-api-key: demo-free-key'")]);
    for (path, key) in requests {
        sh(&format!("curl -sS -o /dev/null http://127.0.0.1:10000/{path} {key}"), PATIENCE).await;
    }
}

/// The admin page of the container shows statistics, and does not end Envoy.
async fn nothing_else_is_allowed() {
    for path in ["config_dump", "quitquitquit"] {
        let line = format!("curl -sS -o /dev/null -w '%{{http_code}}' -X POST http://127.0.0.1:9901/{path}");
        assert_eq!(sh(&line, PATIENCE).await, "403", "{path}");
    }
    // Nobody listens on other addresses of this machine.
    for port in [10000, 9901, 9090, 3000] {
        let line = format!(
            "curl -s -o /dev/null -m 5 \"http://$(hostname -I | cut -d ' ' -f 1):{port}/\" || echo refused"
        );
        assert_eq!(sh(&line, PATIENCE).await, "refused\n", "{port}");
    }
}

async fn eventually<Fut: Future<Output = Result<(), String>>>(what: &str, probe: impl Fn() -> Fut) {
    let start = Instant::now();
    while let Err(wrong) = probe().await {
        assert!(start.elapsed() < PATIENCE, "{what}: {wrong}");
        sleep(Duration::from_millis(500)).await;
    }
}
