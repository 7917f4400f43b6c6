//! The few functions of WASI preview 1 that a Rust module imports: its environment, its panic message, random bytes, the
//! clock. There are no files, no arguments and no sockets, as in Envoy.

use wasmtime::{Caller, Linker};

use crate::guest::Guest;
use crate::memory::{read, write};
use crate::world::LogLevel;

const SUCCESS: u32 = 0;
const BAD_DESCRIPTOR: u32 = 8;
const FAULT: u32 = 21;

pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    const MODULE: &str = "wasi_snapshot_preview1";
    linker.func_wrap(
        MODULE,
        "environ_sizes_get",
        |mut caller: Caller<'_, Guest>, count: u32, size: u32| {
            let variables = environment(&caller);
            let bytes: usize = variables.iter().map(Vec::len).sum();
            numbers(&mut caller, &[(count, variables.len()), (size, bytes)])
        },
    )?;
    linker.func_wrap(MODULE, "environ_get", |mut caller: Caller<'_, Guest>, places: u32, bytes: u32| {
        let (mut place, mut at) = (places, bytes);
        for variable in environment(&caller) {
            let written =
                write(&mut caller, place, &at.to_le_bytes()).and_then(|()| write(&mut caller, at, &variable));
            if written.is_none() {
                return FAULT;
            }
            place = place.saturating_add(4);
            at = at.saturating_add(u32::try_from(variable.len()).unwrap_or(u32::MAX));
        }
        SUCCESS
    })?;
    linker.func_wrap(MODULE, "args_sizes_get", |mut caller: Caller<'_, Guest>, count: u32, size: u32| {
        numbers(&mut caller, &[(count, 0), (size, 0)])
    })?;
    linker.func_wrap(MODULE, "args_get", |_: u32, _: u32| SUCCESS)?;
    linker.func_wrap(
        MODULE,
        "clock_time_get",
        |mut caller: Caller<'_, Guest>, _clock: u32, _precision: u64, out: u32| {
            let now = caller.data().world.borrow().now;
            write(&mut caller, out, &now.to_le_bytes()).map_or(FAULT, |()| SUCCESS)
        },
    )?;
    linker.func_wrap(MODULE, "random_get", |mut caller: Caller<'_, Guest>, out: u32, size: u32| {
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        caller.data().world.borrow_mut().random(&mut bytes);
        write(&mut caller, out, &bytes).map_or(FAULT, |()| SUCCESS)
    })?;
    linker.func_wrap(
        MODULE,
        "fd_write",
        |mut caller: Caller<'_, Guest>, descriptor: u32, vectors: u32, count: u32, written: u32| {
            let level = match descriptor {
                1 => LogLevel::Info,
                2 => LogLevel::Error,
                _ => return BAD_DESCRIPTOR,
            };
            let mut text = Vec::new();
            for index in 0..count {
                let Some(part) = vector(&caller, vectors, index) else { return FAULT };
                text.extend(part);
            }
            let line = text.strip_suffix(b"\n").unwrap_or(&text);
            if !line.is_empty() {
                let guest = caller.data();
                guest.world.borrow_mut().log(guest.plugin, level, line);
            }
            numbers(&mut caller, &[(written, text.len())])
        },
    )?;
    linker.func_wrap(MODULE, "proc_exit", |status: u32| -> wasmtime::Result<()> {
        Err(wasmtime::format_err!("the module ended itself with status {status}"))
    })?;
    Ok(())
}

/// `NAME=value` and a NUL, each.
fn environment(caller: &Caller<'_, Guest>) -> Vec<Vec<u8>> {
    let variable = |(name, value): &(String, String)| format!("{name}={value}\0").into_bytes();
    caller.data().environment.iter().map(variable).collect()
}

fn vector(caller: &Caller<'_, Guest>, vectors: u32, index: u32) -> Option<Vec<u8>> {
    let pair = read(caller, vectors.checked_add(index.checked_mul(8)?)?, 8)?;
    let (at, size) = pair.split_first_chunk::<4>()?;
    read(caller, u32::from_le_bytes(*at), u32::from_le_bytes(*size.first_chunk()?))
}

fn numbers(caller: &mut Caller<'_, Guest>, numbers: &[(u32, usize)]) -> u32 {
    for (out, number) in numbers {
        let number = u32::try_from(*number).unwrap_or(u32::MAX);
        if write(caller, *out, &number.to_le_bytes()).is_none() {
            return FAULT;
        }
    }
    SUCCESS
}
