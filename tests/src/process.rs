//! A child process that does not outlive us.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A running child. It ends with this value, and (on Linux) with the thread that started it, so that nothing lingers if
/// we are killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: Pid,
}

impl Process {
    /// Starts it, in a process group of its own: a Ctrl-C in the terminal is for us, and we end it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).process_group(0);
        #[cfg(target_os = "linux")]
        {
            let parent = nix::unistd::getpid();
            let die_with_parent = move || {
                nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
                // The parent may be gone already: then no signal comes.
                if nix::unistd::getppid() == parent { Ok(()) } else { Err(nix::errno::Errno::ESRCH.into()) }
            };
            // SAFETY: between fork and exec only async-signal-safe calls are allowed: prctl and getppid are, and the
            // closure neither allocates nor takes a lock.
            #[allow(unsafe_code, reason = "the one way to set the death signal of a child")]
            unsafe {
                command.pre_exec(die_with_parent);
            }
        }
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("starting {program}"))?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).context("the child has no id")?;
        Ok(Self { child, pid: Pid::from_raw(pid) })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for its end.
    pub async fn wait(&mut self) -> ExitStatus {
        self.child.wait().await.expect("a child can be waited for")
    }

    /// Kills it (SIGKILL) unless it ended already, and tells which.
    pub fn kill(&mut self) -> ExitStatus {
        let _ = self.child.start_kill();
        loop {
            match self.ended() {
                Some(status) => return status,
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// Asks it to end (SIGTERM), and kills it if it did not in this time.
    pub async fn stop(&mut self, grace: Duration) -> ExitStatus {
        if self.ended().is_none() {
            // The child has not been waited for: the id is still its own.
            let _ = kill(self.pid, Signal::SIGTERM);
        }
        match timeout(grace, self.wait()).await {
            Ok(status) => status,
            Err(_) => {
                let _ = self.child.start_kill();
                self.wait().await
            }
        }
    }

    /// Its output, if it was piped.
    pub fn stderr(&mut self) -> Option<tokio::process::ChildStderr> {
        self.child.stderr.take()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
