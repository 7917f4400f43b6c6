//! `meshgate keys`: API keys, and what stands for them in the configuration of api-key-quota.
//!
//! A key goes to the standard output and nowhere else. It is never taken from the command line, which everybody on the machine can
//! see and which shells write down.

use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use meshgate_policy::config::ConfigError;
use meshgate_policy::digest::Digest;
use meshgate_quota::{KeyFormat, KeyFormatConfig, Pepper};
use serde_json::{Value, json};

use crate::output::{self, Output};

/// Make API keys, and the entries that stand for them in a configuration
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub enum Keys {
    New(New),
    Hash(Hash),
}

/// Make keys of 256 random bits, with a checksum that key_format checks
#[derive(Args, Debug)]
#[command(after_help = NEW_EXAMPLES)]
pub struct New {
    /// What the keys begin with: key_format.prefix of the configuration
    #[arg(long, default_value = "mg")]
    prefix: String,

    /// How many
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    count: u16,

    #[command(flatten)]
    entry: Entry,

    #[command(flatten)]
    output: output::Options,
}

/// Print the entry for a key that there is, from the standard input or a prompt
#[derive(Args, Debug)]
#[command(after_help = HASH_EXAMPLES)]
pub struct Hash {
    /// The standard input, which is also where the key comes from without it
    #[arg(value_name = "-", num_args = 0..)]
    from: Vec<String>,

    #[command(flatten)]
    entry: Entry,

    #[command(flatten)]
    output: output::Options,
}

/// What stands for a key.
#[derive(Args, Debug)]
struct Entry {
    /// What logs call the key; of several keys each gets a number behind it [default: key- and the digest's first digits]
    #[arg(long)]
    id: Option<String>,

    /// Print a line for a file of keys (key_files), of this consumer
    #[arg(long)]
    consumer: Option<String>,

    /// Make an hmac_sha256 with the secret in this environment variable: pepper.env of the configuration
    #[arg(long, value_name = "VAR")]
    hmac_env: Option<String>,
}

const NEW_EXAMPLES: &str = "\
Examples:
  meshgate keys new --id acme-1                the key, and the entry for it
  meshgate keys new --count 3 --output json
  meshgate keys new --consumer acme            the key, and a line for a file of keys
  MESHGATE_PEPPER=$(cat pepper) meshgate keys new --hmac-env MESHGATE_PEPPER";

const HASH_EXAMPLES: &str = "\
Examples:
  meshgate keys hash --id acme-1               asks for the key and does not show it
  meshgate keys hash --id acme-1 < key.txt
  pass show acme/api-key | meshgate keys hash -";

/// The longest `id` and the longest name of a consumer, as the policy has them.
const MAX_NAME: usize = 128;
/// No header is longer in Envoy.
const MAX_KEY: u64 = 64 * 1024;

/// Why a command is not carried out; it ends with the exit status 2.
struct Refusal(String);

impl Keys {
    /// Runs the command.
    ///
    /// # Errors
    /// Something could not be read or written.
    pub fn run(self) -> io::Result<ExitCode> {
        let done = match self {
            Self::New(new) => new.run()?,
            Self::Hash(hash) => hash.run()?,
        };
        match done {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(Refusal(why)) => {
                writeln!(anstream::stderr(), "meshgate: {why}")?;
                Ok(ExitCode::from(2))
            }
        }
    }
}

impl New {
    fn run(self) -> io::Result<Result<(), Refusal>> {
        let made = match self.make() {
            Ok(made) => made,
            Err(refusal) => return Ok(Err(refusal)),
        };
        match self.output.output {
            Output::Json => {
                let keys = made.iter().map(|(key, entry)| json!({"key": key, "entry": entry}));
                output::json(&json!({"keys": keys.collect::<Vec<_>>()}))?;
            }
            Output::Text => {
                let mut out = io::stdout().lock();
                for (key, entry) in made {
                    writeln!(out, "key:   {key}\nentry: {entry}")?;
                }
            }
        }
        Ok(Ok(()))
    }

    fn make(&self) -> Result<Vec<(String, Value)>, Refusal> {
        let format = KeyFormatConfig { prefix: self.prefix.clone() };
        let format = KeyFormat::compile(&format).map_err(|error| about("--prefix", &error))?;
        let digests = self.entry.digests()?;
        let key = |number: u16| {
            let mut random = [0; 32];
            getrandom::fill(&mut random).map_err(|error| Refusal(format!("no random bits: {error}")))?;
            let key = format.key(random);
            let number = (self.count > 1).then_some(number);
            let entry = self.entry.of(&digests, key.as_bytes(), number)?;
            Ok((key, entry))
        };
        (1..=self.count).map(key).collect()
    }
}

impl Hash {
    fn run(self) -> io::Result<Result<(), Refusal>> {
        if !matches!(self.from.as_slice(), []) && self.from != ["-"] {
            let why = "a key is not taken from the command line, where the list of processes and the history of the shell \
                       show it: leave it out to be asked for it, or give it on the standard input. If that was one, it is \
                       no secret any more";
            return Ok(Err(Refusal(why.to_owned())));
        }
        let digests = match self.entry.digests() {
            Ok(digests) => digests,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let key = read_key(self.from.is_empty())?;
        if key.len() as u64 > MAX_KEY {
            return Ok(Err(Refusal("a key of more than 64 KiB is no key".to_owned())));
        }
        if key.trim_ascii().is_empty() {
            return Ok(Err(Refusal("there is no key: the input is empty".to_owned())));
        }
        if key.trim_ascii().len() != key.len() {
            let warning = "the key begins or ends with white space, which is a part of it here, and which no header carries";
            writeln!(anstream::stderr(), "meshgate: warning: {warning}")?;
        }
        let entry = match self.entry.of(&digests, &key, None) {
            Ok(entry) => entry,
            Err(refusal) => return Ok(Err(refusal)),
        };
        match self.output.output {
            Output::Json => output::json(&json!({"entry": entry}))?,
            Output::Text => writeln!(io::stdout().lock(), "entry: {entry}")?,
        }
        Ok(Ok(()))
    }
}

/// How digests of keys are made.
enum Digests {
    Plain,
    Peppered(Pepper),
}

impl Entry {
    fn digests(&self) -> Result<Digests, Refusal> {
        let Some(name) = &self.hmac_env else { return Ok(Digests::Plain) };
        let secret =
            if name.is_empty() || name.contains(['=', '\0']) { None } else { std::env::var_os(name) };
        let Some(secret) = secret else {
            return Err(Refusal(format!(
                "--hmac-env: there is no environment variable {}",
                output::one_line(name)
            )));
        };
        let pepper = Pepper::new(secret.as_encoded_bytes()).map(Digests::Peppered);
        pepper.ok_or_else(|| {
            Refusal(format!("--hmac-env: the secret in {name} is too short: at least 16 bytes are needed"))
        })
    }

    /// The entry for a key: what goes into `keys` of its consumer, as JSON, which is YAML too.
    fn of(&self, digests: &Digests, key: &[u8], number: Option<u16>) -> Result<Value, Refusal> {
        let (field, digest) = match digests {
            Digests::Plain => ("sha256", Digest::of(key)),
            Digests::Peppered(pepper) => ("hmac_sha256", pepper.digest(key)),
        };
        let hex = digest.to_hex();
        let id = match (&self.id, number) {
            (Some(id), Some(number)) => format!("{id}-{number}"),
            (Some(id), None) => id.clone(),
            // The configuration shows the whole digest.
            (None, _) => format!("key-{}", hex.get(..8).unwrap_or_default()),
        };
        for (argument, name) in [("--id", Some(&id)), ("--consumer", self.consumer.as_ref())] {
            let printable = |name: &String| name.bytes().all(|byte| matches!(byte, b' '..=b'~'));
            if name.is_some_and(|name| name.is_empty() || name.len() > MAX_NAME || !printable(name)) {
                return Err(Refusal(format!(
                    "{argument}: expected 1 to {MAX_NAME} printable ASCII characters"
                )));
            }
        }
        let mut entry = json!({ "id": id });
        if let Some(entry) = entry.as_object_mut() {
            entry.extend(self.consumer.as_ref().map(|name| ("consumer".to_owned(), name.as_str().into())));
            entry.insert(field.to_owned(), hex.into());
        }
        Ok(entry)
    }
}

/// The key, without the end of its line.
fn read_key(may_ask: bool) -> io::Result<Vec<u8>> {
    if may_ask && io::stdin().is_terminal() {
        return Ok(rpassword::prompt_password("key: ")?.into_bytes());
    }
    let mut key = Vec::new();
    io::stdin().lock().take(MAX_KEY.saturating_add(3)).read_to_end(&mut key)?;
    if key.ends_with(b"\n") {
        key.pop();
        if key.ends_with(b"\r") {
            key.pop();
        }
    }
    Ok(key)
}

/// What a configuration would be refused for, said of an argument.
fn about(argument: &str, error: &ConfigError) -> Refusal {
    let parts = error.parts();
    let (found, expected) = (parts.found.unwrap_or_default(), parts.expected.unwrap_or_default());
    Refusal(format!("{argument}: found {found}, expected {expected}"))
}
