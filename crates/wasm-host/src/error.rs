//! What can go wrong with a run itself.

use std::fmt;

/// Why there is no outcome.
#[derive(Debug)]
pub enum Error {
    /// A file is no module that can be run here.
    Module(String),
    /// A plugin does not start, or refuses its configuration: what it says.
    Refused {
        /// The plugin's name.
        plugin: String,
        /// What it logged.
        why: String,
    },
    /// A module broke off.
    Trapped {
        /// The plugin's name.
        plugin: String,
        /// The callback.
        callback: &'static str,
        /// Why.
        why: String,
    },
    /// Nobody has an answer for this callout.
    Unanswered {
        /// The plugin's name.
        plugin: String,
        /// What it asked for.
        call: String,
    },
    /// The exchange waits for nothing that could come.
    Hangs {
        /// The plugins that hold it.
        plugins: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module(why) => f.write_str(why),
            Self::Refused { plugin, why } => write!(f, "{plugin} does not start: {why}"),
            Self::Trapped { plugin, callback, why } => write!(f, "{plugin} broke off in {callback}: {why}"),
            Self::Unanswered { plugin, call } => {
                write!(f, "{plugin} calls {call}, and no callout says what the answer is")
            }
            Self::Hangs { plugins } => {
                write!(f, "the exchange hangs: {plugins} holds it and waits for nothing")
            }
        }
    }
}

impl std::error::Error for Error {}
