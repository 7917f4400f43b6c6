//! The hostcalls for metrics.

use wasmtime::{Caller, Linker};

use super::Status;
use crate::guest::Guest;
use crate::memory::{give_number, read, status, write};
use crate::world::{EventKind, MetricKind, World};

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_define_metric",
        |mut caller: Caller<'_, Guest>, kind: u32, at: u32, size: u32, out: u32| -> Status {
            let name = String::from_utf8_lossy(&bytes!(caller, at, size)).into_owned();
            let kind = match kind {
                0 => MetricKind::Counter,
                1 => MetricKind::Gauge,
                2 => MetricKind::Histogram,
                _ => return Ok(status::BAD_ARGUMENT),
            };
            let id = caller.data().world.borrow_mut().define(kind, name);
            Ok(give_number(&mut caller, id, out))
        },
    )?;
    linker.func_wrap("env", "proxy_increment_metric", |caller: Caller<'_, Guest>, id: u32, by: i64| {
        let guest = caller.data();
        let mut world = guest.world.borrow_mut();
        let Some(metric) = world.metric(id) else { return status::NOT_FOUND };
        if metric.kind == MetricKind::Histogram || (metric.kind == MetricKind::Counter && by <= 0) {
            return status::BAD_ARGUMENT;
        }
        metric.value = metric.value.saturating_add(by);
        moved(&mut world, guest.plugin, id, by);
        status::OK
    })?;
    linker.func_wrap("env", "proxy_record_metric", |caller: Caller<'_, Guest>, id: u32, value: u64| {
        let guest = caller.data();
        let mut world = guest.world.borrow_mut();
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        let Some(metric) = world.metric(id) else { return status::NOT_FOUND };
        metric.value = match metric.kind {
            MetricKind::Counter => metric.value.saturating_add(value),
            MetricKind::Gauge | MetricKind::Histogram => value,
        };
        moved(&mut world, guest.plugin, id, value);
        status::OK
    })?;
    linker.func_wrap(
        "env",
        "proxy_get_metric",
        |mut caller: Caller<'_, Guest>, id: u32, out: u32| -> Status {
            let value = caller.data().world.borrow_mut().metric(id).map(|metric| metric.value);
            let Some(value) = value else { return Ok(status::NOT_FOUND) };
            Ok(write(&mut caller, out, &value.to_le_bytes()).map_or(status::INVALID_MEMORY, |()| status::OK))
        },
    )?;
    Ok(())
}

fn moved(world: &mut World, plugin: usize, id: u32, by: i64) {
    if let Some(metric) = world.metric(id) {
        let (name, kind) = (metric.name.clone(), metric.kind);
        world.event(plugin, EventKind::Metric { name, kind, by });
    }
}
