//! The memory of a module: what it hands over and what it gets.

use wasmtime::{Caller, Memory};

use crate::guest::Guest;

/// Statuses of the ABI.
pub(crate) mod status {
    pub(crate) const OK: u32 = 0;
    pub(crate) const NOT_FOUND: u32 = 1;
    pub(crate) const BAD_ARGUMENT: u32 = 2;
    pub(crate) const PARSE_FAILURE: u32 = 4;
    pub(crate) const INVALID_MEMORY: u32 = 6;
    pub(crate) const CAS_MISMATCH: u32 = 8;
    pub(crate) const INTERNAL_FAILURE: u32 = 10;
    pub(crate) const UNIMPLEMENTED: u32 = 12;
}

fn memory(caller: &Caller<'_, Guest>) -> Option<Memory> {
    caller.data().memory
}

/// Bytes that the module points to. No bytes need no place.
pub(crate) fn read(caller: &Caller<'_, Guest>, at: u32, size: u32) -> Option<Vec<u8>> {
    if size == 0 {
        return Some(Vec::new());
    }
    let (at, size) = (usize::try_from(at).ok()?, usize::try_from(size).ok()?);
    let bytes = memory(caller)?.data(caller).get(at..at.checked_add(size)?)?;
    Some(bytes.to_vec())
}

/// Writes where the module says. `None`: that is outside of its memory.
pub(crate) fn write(caller: &mut Caller<'_, Guest>, at: u32, bytes: &[u8]) -> Option<()> {
    let memory = memory(caller)?;
    let at = usize::try_from(at).ok()?;
    let end = at.checked_add(bytes.len())?;
    memory.data_mut(&mut *caller).get_mut(at..end)?.copy_from_slice(bytes);
    Some(())
}

/// Hands bytes over, in memory that the module makes for them.
pub(crate) fn give(
    caller: &mut Caller<'_, Guest>,
    bytes: &[u8],
    out: u32,
    out_size: u32,
) -> wasmtime::Result<u32> {
    let Ok(size) = u32::try_from(bytes.len()) else { return Ok(status::INTERNAL_FAILURE) };
    let at = if size == 0 {
        0
    } else {
        let Some(allocate) = caller.data().allocate.clone() else { return Ok(status::INTERNAL_FAILURE) };
        allocate.call(&mut *caller, size)?
    };
    let written = write(caller, at, bytes)
        .and_then(|()| write(caller, out, &at.to_le_bytes()))
        .and_then(|()| write(caller, out_size, &size.to_le_bytes()));
    Ok(if written.is_some() { status::OK } else { status::INVALID_MEMORY })
}

/// Hands a number over.
pub(crate) fn give_number(caller: &mut Caller<'_, Guest>, number: u32, out: u32) -> u32 {
    match write(caller, out, &number.to_le_bytes()) {
        Some(()) => status::OK,
        None => status::INVALID_MEMORY,
    }
}
