//! The command line of Meshgate.
//!
//! Each command is a module: its arguments and what it does. What is wrong with what a user wrote goes to the standard output in
//! one line each, what came of it to the standard error, and the exit status says it to scripts: 0 if all is good, 1 if
//! something is wrong, 2 if the command could not be carried out.

mod check;
mod filters;
mod output;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// API-gateway policies for Envoy and Istio: check configurations
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
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.color.apply();
    let done = match cli.command {
        Command::Check(check) => check.run(),
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
