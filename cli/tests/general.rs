//! What all commands have in common.

#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use support::meshgate;

#[test]
fn every_command_has_help_with_examples() {
    let render = ["envoy", "istio", "envoy-gateway", "compose", "local-reply"].map(|what| ["render", what]);
    let others = [
        &["check"][..],
        &["test"],
        &["explain"],
        &["schema"],
        &["keys", "new"],
        &["keys", "hash"],
        &["image"],
        &["completions"],
    ];
    for command in others.into_iter().chain(render.iter().map(|render| &render[..])) {
        let help = meshgate(&[command, &["--help"]].concat()).ran();
        assert_eq!((help.code, help.err.as_str()), (0, ""), "{command:?}");
        let example = format!("\nExamples:\n  meshgate {}", command.join(" "));
        assert!(help.out.contains(&example), "{}", help.out);
        let long = help.out.lines().find(|line| line.chars().count() > 110);
        assert_eq!(long, None);
    }
    let all = meshgate(&["--help"]).ran();
    assert!(
        ["check", "test", "explain", "schema", "keys", "image", "render", "completions"]
            .iter()
            .all(|name| all.out.contains(&format!("\n  {name} ")))
    );
    assert_eq!(meshgate(&["--version"]).ran().out, format!("meshgate {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(meshgate(&[]).ran().code, 2);
}

#[test]
fn shells_complete_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = meshgate(&["completions", shell]).ran();
        assert!(ran.code == 0 && ran.out.contains("meshgate") && ran.out.contains("hmac-env"), "{shell}");
    }
    assert_eq!(meshgate(&["completions", "cmd"]).ran().code, 2);
}
