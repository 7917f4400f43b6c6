//! What the pages show of the command line: their blocks `sh` and `console`, run as `scripts/console` runs them everywhere.

#![allow(clippy::panic, clippy::unwrap_used, reason = "test code")]

mod support;

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use support::{directory, module, workspace};

/// Commands of other programs, and those that need a cluster, stand in blocks that say so: `sh not-run`. Everything else runs, in a
/// directory with what the pages speak of.
#[test]
fn the_commands_on_the_pages_run() {
    let quota = module("proxy_abi_version_0_2_1", Some("meshgate-filter-api-key-quota 0.1.0"));
    let here = directory(&[("target/wasm32-wasip1/release/api_key_quota.wasm", &quota)]);
    for shown in ["istio", "filters", "envoy-configs"] {
        symlink(workspace().join(shown), here.path().join(shown)).unwrap();
    }
    let binaries = Path::new(env!("CARGO_BIN_EXE_meshgate")).parent().unwrap().to_owned();
    let others = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([binaries].into_iter().chain(env::split_paths(&others))).unwrap();
    for page in ["istio/README.md", "cli/README.md"] {
        let mut console = Command::new(workspace().join("scripts/console"));
        let console = console.arg(workspace().join(page)).env("PATH", &path).current_dir(here.path());
        let output = console.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{page}:\n{}", String::from_utf8_lossy(&said));
    }
    assert!(here.path().join("target/project/docker-compose.yml").is_file());
}

/// A block of a kind that is not known here, or that is nothing in particular, would not be run, and nobody would see it.
#[test]
fn every_block_is_run_or_says_that_it_is_not() {
    let of_the_command_line: &[&str] =
        &["sh", "sh not-run", "console", "text", "text test", "text explain", "text explain pipeline"];
    for (page, known) in [
        ("istio/README.md", &["sh", "sh not-run"][..]),
        ("cli/README.md", of_the_command_line),
        // Nobody runs what is there.
        ("CONTRIBUTING.md", &["sh not-run", "rust"]),
        // Tests of the containers run it line by line.
        ("envoy-configs/README.md", &["sh"]),
    ] {
        let text = fs::read_to_string(workspace().join(page)).unwrap();
        let fences = text.lines().filter_map(|line| line.trim_start().strip_prefix("```")).step_by(2);
        for fence in fences {
            let is_file =
                fence.split_once(' ').is_some_and(|(kind, file)| kind == "yaml" && file.ends_with(".yaml"));
            assert!(known.contains(&fence) || is_file, "{page} has a block {fence:?}");
        }
    }
}
