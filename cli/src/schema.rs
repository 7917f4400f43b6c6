//! `meshgate schema`: the JSON Schema of a filter's configuration, for editors and other checks.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::filters::{FILTERS, Filter};
use crate::output;

/// Print the JSON Schema of a filter's configuration
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Schema {
    /// The filter
    #[arg(required_unless_present = "list", value_parser = PossibleValuesParser::new(FILTERS.iter().map(|filter| filter.name)))]
    filter: Option<String>,

    /// Print the names of the filters instead
    #[arg(long, conflicts_with = "filter")]
    list: bool,
}

const EXAMPLES: &str = "\
Examples:
  meshgate schema --list
  meshgate schema dlp > dlp.schema.json
  # yaml-language-server: $schema=dlp.schema.json        the first line of a file that an editor then completes";

impl Schema {
    /// Runs the command.
    ///
    /// # Errors
    /// Nothing could be written.
    pub fn run(self) -> io::Result<ExitCode> {
        match self.filter.as_deref().and_then(Filter::named) {
            Some(filter) => output::json(&filter.schema())?,
            None => {
                let mut out = io::stdout().lock();
                for filter in &FILTERS {
                    writeln!(out, "{}", filter.name)?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
