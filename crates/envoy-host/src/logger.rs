//! Sends what the `log` macros say to the proxy's log.

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::abi;

struct ProxyLog;

impl Log for ProxyLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            Level::Trace => 0,
            Level::Debug => 1,
            Level::Info => 2,
            Level::Warn => 3,
            Level::Error => 4,
        };
        abi::log(level, &record.args().to_string());
    }

    fn flush(&self) {}
}

/// Starts logging, at the level that the proxy's own `wasm` logger has now.
pub(crate) fn install() {
    // Fails if it is installed already, which is what we want.
    let _ = log::set_logger(&ProxyLog);
    log::set_max_level(match abi::log_level() {
        Some(0) => LevelFilter::Trace,
        Some(1) => LevelFilter::Debug,
        Some(2) => LevelFilter::Info,
        Some(3) => LevelFilter::Warn,
        Some(4..) => LevelFilter::Error,
        None => LevelFilter::Info,
    });
}
