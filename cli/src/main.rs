//! The command line of Meshgate.
//!
//! Each command is a module: its arguments and what it does. What is wrong with what a user wrote goes to the standard output in
//! one line each, what came of it to the standard error, and the exit status says it to scripts: 0 if all is good, 1 if
//! something is wrong, 2 if the command could not be carried out.

mod check;
mod explain;
mod failure;
mod filters;
mod image;
mod keys;
mod modules;
mod output;
mod render;
mod schema;
mod suite;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

/// API-gateway policies for Envoy and Istio: check configurations, make API keys
#[derive(Debug, Parser)]
#[command(
    name = "meshgate",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// When to write in colours
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    color: output::Color,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Check),
    Schema(schema::Schema),
    Test(suite::Test),
    Explain(explain::Explain),
    #[command(subcommand)]
    Keys(keys::Keys),
    Image(image::Image),
    #[command(subcommand)]
    Render(render::Render),
    /// Print what makes a shell complete this command line
    #[command(after_help = COMPLETIONS)]
    Completions {
        /// The shell
        shell: Shell,
    },
}

const COMPLETIONS: &str = "\
Examples:
  meshgate completions bash > ~/.local/share/bash-completion/completions/meshgate
  meshgate completions zsh > ~/.zfunc/_meshgate          with ~/.zfunc in fpath
  meshgate completions fish > ~/.config/fish/completions/meshgate.fish";

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.color.apply();
    let done = match cli.command {
        Command::Check(check) => check.run(),
        Command::Schema(schema) => schema.run(),
        Command::Test(test) => test.run(),
        Command::Explain(explain) => explain.run(),
        Command::Keys(keys) => keys.run(),
        Command::Image(image) => image.run(),
        Command::Render(render) => render.run(),
        Command::Completions { shell } => completions(shell),
    };
    done.unwrap_or_else(|error| {
        // Whoever reads the output has seen enough of it.
        if error.kind() == io::ErrorKind::BrokenPipe {
            return ExitCode::SUCCESS;
        }
        let _ = writeln!(anstream::stderr(), "meshgate: {error}");
        ExitCode::from(2)
    })
}

fn completions(shell: Shell) -> io::Result<ExitCode> {
    // Into memory first: it takes every failure to write for its own.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "meshgate", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
