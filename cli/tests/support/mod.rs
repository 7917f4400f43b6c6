//! Runs the command line, as the tests of each command need it.
#![allow(dead_code, reason = "each test binary uses its own part of it")]
#![allow(clippy::unwrap_used, reason = "test code")]

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A command that has not run yet.
pub struct Meshgate(Command);

/// What came of it.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub fn meshgate(args: &[&str]) -> Meshgate {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshgate"));
    command.args(args).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").stdin(Stdio::null());
    Meshgate(command)
}

impl Meshgate {
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.0.arg(arg);
        self
    }

    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.0.current_dir(directory);
        self
    }

    pub fn env(&mut self, name: &str, value: &str) -> &mut Self {
        self.0.env(name, value);
        self
    }

    /// Runs it.
    pub fn ran(&mut self) -> Ran {
        let output = self.0.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs it with this on the standard input.
    pub fn input(mut self, bytes: &[u8]) -> Ran {
        let pipes = self.0.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// A directory with these files, for as long as it is kept.
pub fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let directory = TempDir::new().unwrap();
    for (name, text) in files {
        let file = directory.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    directory
}

pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A module that exports one function, and says that it is this one.
pub fn module(export: &str, identity: Option<&str>) -> Vec<u8> {
    let section = |id: u8, content: &[u8]| [&[id, u8::try_from(content.len()).unwrap()], content].concat();
    let name = |name: &str| [&[u8::try_from(name.len()).unwrap()], name.as_bytes()].concat();
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    module.extend(section(1, &[1, 0x60, 0, 0]));
    module.extend(section(3, &[1, 0]));
    module.extend(section(7, &[&[1], name(export).as_slice(), &[0, 0]].concat()));
    module.extend(section(10, &[1, 2, 0, 0x0b]));
    if let Some(identity) = identity {
        module.extend(section(0, &[name("meshgate"), identity.as_bytes().to_vec()].concat()));
    }
    module
}

/// The block of the command line's page behind a fence of this name.
pub fn block(fence: &str) -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, rest) = page.split_once(&format!("\n```{fence}\n")).unwrap();
    rest.split_once("\n```").unwrap().0.to_owned()
}
