//! The hostcalls of Proxy-Wasm ABI 0.2.1, with Envoy's statuses.

use wasmtime::{Caller, Engine, Linker, Store};

use crate::guest::{Guest, ROOT};
use crate::memory::{give, give_number, read, status, write};
use crate::message::{Fields, Side};
use crate::properties;
use crate::reply::LocalReply;
use crate::world::{Action, EventKind, LogLevel, World};

type Status = wasmtime::Result<u32>;

/// Reads an argument, or answers that it points outside of the memory.
macro_rules! bytes {
    ($caller:expr, $at:expr, $size:expr) => {
        match read(&$caller, $at, $size) {
            Some(bytes) => bytes,
            None => return Ok(status::INVALID_MEMORY),
        }
    };
}

// Behind the macro, which they use.
mod calls;
mod metrics;

pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    logs(linker)?;
    maps(linker)?;
    buffers(linker)?;
    facts(linker)?;
    shared_data(linker)?;
    streams(linker)?;
    calls::link(linker)?;
    metrics::link(linker)?;
    missing(linker)
}

/// All that a module may import.
pub(crate) fn names(linker: &Linker<Guest>, engine: &Engine) -> Vec<(String, String)> {
    // The linker shows what it has only to somebody with a store.
    let world = std::rc::Rc::new(std::cell::RefCell::new(World::new(0, 0, LogLevel::Critical)));
    let guest = Guest::new(world, 0, (String::new(), String::new()), Vec::new(), Vec::new());
    let mut store = Store::new(engine, guest);
    linker.iter(&mut store).map(|(module, name, _)| (module.to_owned(), name.to_owned())).collect()
}

fn logs(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_log",
        |caller: Caller<'_, Guest>, level: u32, at: u32, size: u32| -> Status {
            let text = bytes!(caller, at, size);
            let Some(level) = LogLevel::from_number(level) else { return Ok(status::BAD_ARGUMENT) };
            let guest = caller.data();
            guest.world.borrow_mut().log(guest.plugin, level, &text);
            Ok(status::OK)
        },
    )?;
    linker.func_wrap("env", "proxy_get_log_level", |mut caller: Caller<'_, Guest>, out: u32| -> Status {
        let level = caller.data().world.borrow().log_level;
        Ok(give_number(&mut caller, level as u32, out))
    })?;
    Ok(())
}

/// Which map a number means, and whether the module can reach it now.
fn reach<T>(
    caller: &Caller<'_, Guest>,
    map: u32,
    make: bool,
    with: impl FnOnce(&mut Fields) -> T,
) -> Option<T> {
    let guest = caller.data();
    let mut world = guest.world.borrow_mut();
    if map == 6 {
        let response = world.call_response.as_ref()?;
        let mut fields = Fields::new();
        fields.set(":status", response.status.to_string());
        for (name, value) in response.headers.iter() {
            fields.add(name, value);
        }
        return Some(with(&mut fields));
    }
    let stream = world.stream.as_mut()?;
    let (side, trailers) = match map {
        0 => (Side::Request, false),
        1 => (Side::Request, true),
        2 => (Side::Response, false),
        3 => (Side::Response, true),
        _ => return None,
    };
    let half = stream.half_of(guest.plugin, guest.context, side)?;
    let (sees, may_add) = (if trailers { half.sees_trailers } else { half.sees_head }, half.may_add_trailers);
    let message = stream.message_mut(side);
    let fields = match trailers {
        false => message.head.as_mut().filter(|_| sees),
        true if make && may_add => Some(message.trailers.get_or_insert_default()),
        true => message.trailers.as_mut().filter(|_| sees),
    };
    fields.map(with)
}

fn maps(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_header_map_pairs",
        |mut caller: Caller<'_, Guest>, map: u32, out: u32, out_size: u32| -> Status {
            let pairs = reach(&caller, map, false, |fields| fields.to_wire());
            give(&mut caller, &pairs.unwrap_or_else(|| Fields::new().to_wire()), out, out_size)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_header_map_value",
        |mut caller: Caller<'_, Guest>, map: u32, at: u32, size: u32, out: u32, out_size: u32| -> Status {
            let name = String::from_utf8_lossy(&bytes!(caller, at, size)).to_ascii_lowercase();
            match reach(&caller, map, false, |fields| fields.first(&name).map(<[u8]>::to_vec)) {
                Some(Some(value)) => give(&mut caller, &value, out, out_size),
                Some(None) => Ok(status::NOT_FOUND),
                None => Ok(status::BAD_ARGUMENT),
            }
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_header_map_pairs",
        |caller: Caller<'_, Guest>, map: u32, at: u32, size: u32| -> Status {
            let fields = Fields::from_wire(bytes!(caller, at, size));
            Ok(done(reach(&caller, map, true, |there| *there = fields)))
        },
    )?;
    for (name, adds) in [("proxy_replace_header_map_value", false), ("proxy_add_header_map_value", true)] {
        linker.func_wrap(
            "env",
            name,
            move |caller: Caller<'_, Guest>,
                  map: u32,
                  at: u32,
                  size: u32,
                  value: u32,
                  value_size: u32|
                  -> Status {
                let name = String::from_utf8_lossy(&bytes!(caller, at, size)).into_owned();
                let value = bytes!(caller, value, value_size);
                Ok(done(reach(&caller, map, true, |fields| {
                    if adds { fields.add(&name, value) } else { fields.set(&name, value) }
                })))
            },
        )?;
    }
    linker.func_wrap(
        "env",
        "proxy_remove_header_map_value",
        |caller: Caller<'_, Guest>, map: u32, at: u32, size: u32| -> Status {
            let name = String::from_utf8_lossy(&bytes!(caller, at, size)).into_owned();
            Ok(done(reach(&caller, map, false, |fields| fields.remove(&name))))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_header_map_size",
        |mut caller: Caller<'_, Guest>, map: u32, out: u32| -> Status {
            let size = reach(&caller, map, false, |fields| fields.size()).unwrap_or_default();
            Ok(give_number(&mut caller, u32::try_from(size).unwrap_or(u32::MAX), out))
        },
    )?;
    Ok(())
}

fn done(reached: Option<()>) -> u32 {
    if reached.is_some() { status::OK } else { status::BAD_ARGUMENT }
}

/// The bytes of a buffer, if there is one now.
fn buffer(guest: &Guest, number: u32) -> Option<Vec<u8>> {
    let world = guest.world.borrow();
    let body = |side| {
        let stream = world.stream.as_ref()?;
        let source = stream.half_of(guest.plugin, guest.context, side)?.sees_body?;
        Some(stream.message(side).body(source).to_vec())
    };
    match number {
        0 => body(Side::Request),
        1 => body(Side::Response),
        4 => world.call_response.as_ref().map(crate::message::Response::whole_body),
        5 => world.grpc_message.clone(),
        6 => Some(Vec::new()),
        7 => Some(guest.configuration.clone()),
        _ => None,
    }
}

fn buffers(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_buffer_bytes",
        |mut caller: Caller<'_, Guest>,
         number: u32,
         start: u32,
         size: u32,
         out: u32,
         out_size: u32|
         -> Status {
            let Some(bytes) = buffer(caller.data(), number) else { return Ok(status::NOT_FOUND) };
            // In 64 bits, as in Envoy: `u32::MAX` from anywhere means up to the end.
            let (start, size) = (start as usize, size as usize);
            let end = start.saturating_add(size).min(bytes.len());
            give(&mut caller, bytes.get(start..end).unwrap_or_default(), out, out_size)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_buffer_bytes",
        |caller: Caller<'_, Guest>, number: u32, start: u32, size: u32, at: u32, bytes_size: u32| -> Status {
            let bytes = bytes!(caller, at, bytes_size);
            let guest = caller.data();
            let side = match number {
                0 => Side::Request,
                1 => Side::Response,
                _ => return Ok(status::BAD_ARGUMENT),
            };
            let mut world = guest.world.borrow_mut();
            let Some(stream) = world.stream.as_mut() else { return Ok(status::NOT_FOUND) };
            let source = stream.half_of(guest.plugin, guest.context, side).and_then(|half| half.sees_body);
            let Some(source) = source else { return Ok(status::NOT_FOUND) };
            let body = stream.message_mut(side).body_mut(source);
            if start == 0 {
                // What it replaces from the beginning on; nothing: it goes in front.
                let end = (size as usize).min(body.len());
                body.splice(..end, bytes);
                return Ok(status::OK);
            }
            if (start as usize) < body.len() || size != 0 {
                return Ok(status::BAD_ARGUMENT);
            }
            body.extend(bytes);
            Ok(status::OK)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_buffer_status",
        |mut caller: Caller<'_, Guest>, number: u32, out: u32, flags: u32| -> Status {
            let Some(bytes) = buffer(caller.data(), number) else { return Ok(status::NOT_FOUND) };
            let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            Ok(give_number(&mut caller, size, out).max(give_number(&mut caller, 0, flags)))
        },
    )?;
    Ok(())
}

fn facts(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_current_time_nanoseconds",
        |mut caller: Caller<'_, Guest>, out: u32| -> Status {
            let now = caller.data().world.borrow().now;
            Ok(write(&mut caller, out, &now.to_le_bytes()).map_or(status::INVALID_MEMORY, |()| status::OK))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_property",
        |mut caller: Caller<'_, Guest>, at: u32, size: u32, out: u32, out_size: u32| -> Status {
            let path = bytes!(caller, at, size);
            let guest = caller.data();
            let plugin = (guest.name.as_str(), guest.vm_id.as_str());
            let value = properties::property(&guest.world.borrow(), plugin, &path);
            match value {
                Some(value) => give(&mut caller, &value, out, out_size),
                None => Ok(status::NOT_FOUND),
            }
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_property",
        |caller: Caller<'_, Guest>, at: u32, size: u32, value: u32, value_size: u32| -> Status {
            let (path, value) = (bytes!(caller, at, size), bytes!(caller, value, value_size));
            let guest = caller.data();
            let mut world = guest.world.borrow_mut();
            let key = String::from_utf8_lossy(&path).into_owned();
            let Some(stream) = world.stream.as_mut() else { return Ok(status::NOT_FOUND) };
            stream.facts.filter_state.insert([b"wasm.", path.as_slice()].concat(), value.clone());
            world.event(guest.plugin, EventKind::FilterState { key, value });
            Ok(status::OK)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_call_foreign_function",
        |mut caller: Caller<'_, Guest>,
         at: u32,
         size: u32,
         _: u32,
         _: u32,
         out: u32,
         out_size: u32|
         -> Status {
            match bytes!(caller, at, size).as_slice() {
                b"clear_route_cache" | b"declare_property" => give(&mut caller, b"", out, out_size),
                _ => Ok(status::NOT_FOUND),
            }
        },
    )?;
    Ok(())
}

fn shared_data(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_shared_data",
        |mut caller: Caller<'_, Guest>,
         at: u32,
         size: u32,
         out: u32,
         out_size: u32,
         version: u32|
         -> Status {
            let key = bytes!(caller, at, size);
            let guest = caller.data();
            let found = guest.world.borrow().shared(&guest.vm_id, &key).cloned();
            let Some((value, number)) = found else { return Ok(status::NOT_FOUND) };
            let given = give(&mut caller, &value, out, out_size)?;
            Ok(given.max(give_number(&mut caller, number, version)))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_shared_data",
        |caller: Caller<'_, Guest>,
         at: u32,
         size: u32,
         value: u32,
         value_size: u32,
         version: u32|
         -> Status {
            let (key, value) = (bytes!(caller, at, size), bytes!(caller, value, value_size));
            let guest = caller.data();
            let set = guest.world.borrow_mut().set_shared(&guest.vm_id, &key, value, version);
            Ok(if set { status::OK } else { status::CAS_MISMATCH })
        },
    )?;
    Ok(())
}

fn streams(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap("env", "proxy_continue_stream", |caller: Caller<'_, Guest>, side: u32| -> Status {
        let guest = caller.data();
        let side = match side {
            0 => Side::Request,
            1 => Side::Response,
            _ => return Ok(status::BAD_ARGUMENT),
        };
        let mut world = guest.world.borrow_mut();
        world.actions.push((guest.plugin, Action::Continue { context: guest.context, side }));
        // What it could reach it can't reach any more.
        let filter = world.stream.as_mut().and_then(|stream| stream.filters.get_mut(guest.plugin));
        if let Some(filter) = filter.filter(|filter| filter.context == Some(guest.context)) {
            let half = filter.half_mut(side);
            (half.sees_head, half.sees_body, half.sees_trailers) = (false, None, false);
        }
        Ok(status::OK)
    })?;
    linker.func_wrap("env", "proxy_close_stream", |_: u32| status::UNIMPLEMENTED)?;
    linker.func_wrap("env", "proxy_done", || status::OK)?;
    linker.func_wrap(
        "env",
        "proxy_set_effective_context",
        |mut caller: Caller<'_, Guest>, context: u32| -> Status {
            let guest = caller.data();
            let is_of_stream = || {
                let world = guest.world.borrow();
                let filter = world.stream.as_ref().and_then(|stream| stream.filters.get(guest.plugin));
                filter.is_some_and(|filter| filter.context == Some(context))
            };
            if context != ROOT && !is_of_stream() {
                return Ok(status::BAD_ARGUMENT);
            }
            caller.data_mut().context = context;
            Ok(status::OK)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_send_local_response",
        |caller: Caller<'_, Guest>,
         http_status: u32,
         details: u32,
         details_size: u32,
         body: u32,
         body_size: u32,
         headers: u32,
         headers_size: u32,
         grpc_status: i32|
         -> Status {
            let details = String::from_utf8_lossy(&bytes!(caller, details, details_size)).into_owned();
            let body = bytes!(caller, body, body_size);
            let headers = Fields::from_wire(bytes!(caller, headers, headers_size));
            let guest = caller.data();
            let Ok(http_status) = u16::try_from(http_status) else { return Ok(status::BAD_ARGUMENT) };
            let grpc_status = u32::try_from(grpc_status).ok();
            let mut world = guest.world.borrow_mut();
            world.event(guest.plugin, EventKind::Reply { status: http_status, details: details.clone() });
            let reply = LocalReply { status: http_status, details, headers, body, grpc_status, flags: 0 };
            world.actions.push((guest.plugin, Action::Reply { context: guest.context, reply }));
            Ok(status::OK)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_tick_period_milliseconds",
        |caller: Caller<'_, Guest>, period: u32| {
            let guest = caller.data();
            let mut world = guest.world.borrow_mut();
            let period = u64::from(period).saturating_mul(1_000_000);
            let next = world.now.saturating_add(period);
            world.timers.insert(guest.plugin, (period, next));
            status::OK
        },
    )?;
    Ok(())
}

/// What the ABI has and this host does not: a module may import it as long as it does not need it.
fn missing(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let none = || status::UNIMPLEMENTED;
    linker.func_wrap("env", "proxy_register_shared_queue", move |_: u32, _: u32, _: u32| none())?;
    linker.func_wrap(
        "env",
        "proxy_resolve_shared_queue",
        move |_: u32, _: u32, _: u32, _: u32, _: u32| none(),
    )?;
    linker.func_wrap("env", "proxy_enqueue_shared_queue", move |_: u32, _: u32, _: u32| none())?;
    linker.func_wrap("env", "proxy_dequeue_shared_queue", move |_: u32, _: u32, _: u32| none())?;
    linker.func_wrap(
        "env",
        "proxy_grpc_stream",
        move |_: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32| none(),
    )?;
    linker.func_wrap("env", "proxy_grpc_send", move |_: u32, _: u32, _: u32, _: u32| none())?;
    linker.func_wrap("env", "proxy_grpc_cancel", move |_: u32| none())?;
    linker.func_wrap("env", "proxy_grpc_close", move |_: u32| none())?;
    linker.func_wrap("env", "proxy_get_status", move |_: u32, _: u32, _: u32| none())?;
    Ok(())
}
