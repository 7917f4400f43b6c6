//! How one filter is asked about a part of a message: its callbacks, and what it may reach in them.

use super::Chain;
use crate::error::Error;
use crate::guest::ROOT;
use crate::message::{Fields, Side};
use crate::stream::{Iteration, Source};

/// What a callback answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Continue,
    Pause,
    StopAll,
}

impl Chain {
    pub(super) fn on_head(&mut self, side: Side, position: usize, end: bool) -> Result<Verdict, Error> {
        let plugin = self.plugin(side, position);
        if side == Side::Request {
            self.begin(plugin)?;
        }
        let Some(context) = self.context(plugin) else { return Ok(Verdict::Continue) };
        self.half(side, position, |half| half.sees_head = true);
        let number = self.message(side, |message| message.head.as_ref().map_or(0, Fields::len));
        let callback = match side {
            Side::Request => "proxy_on_request_headers",
            Side::Response => "proxy_on_response_headers",
        };
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let verdict = match self.ask(plugin, context, callback, (context, number, u32::from(end)), side)? {
            0 => Verdict::Continue,
            1 if self.hold_headers.get(plugin) == Some(&true) => Verdict::Pause,
            _ => Verdict::StopAll,
        };
        if verdict == Verdict::Continue {
            self.half(side, position, |half| half.sees_head = false);
        }
        Ok(verdict)
    }

    pub(super) fn on_body(
        &mut self,
        side: Side,
        position: usize,
        source: Source,
        end: bool,
    ) -> Result<Verdict, Error> {
        let plugin = self.plugin(side, position);
        let Some(context) = self.context(plugin) else { return Ok(Verdict::Continue) };
        let was_kept = self.half(side, position, |half| half.buffering);
        let sees = if was_kept { Source::Buffered } else { source };
        if was_kept {
            self.message(side, |message| message.streaming = false);
            self.keep(side, source);
            if self.aborted(side) {
                return Ok(Verdict::Pause);
            }
        }
        self.half(side, position, |half| (half.sees_body, half.may_add_trailers) = (Some(sees), end));
        let size = self.message(side, |message| message.body(sees).len());
        let callback = match side {
            Side::Request => "proxy_on_request_body",
            Side::Response => "proxy_on_response_body",
        };
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let answer = self.ask(plugin, context, callback, (context, size, u32::from(end)), side)?;
        let goes_on = answer == 0;
        let state = self.half(side, position, |half| {
            (half.buffering, half.may_add_trailers) = (answer == 1, false);
            half.sees_body = (!goes_on).then_some(Source::Buffered);
            half.state
        });
        self.message(side, |message| {
            message.streaming = answer == 2;
            if goes_on && was_kept && source == Source::Fresh && state == Iteration::Continue {
                // It was resumed while it kept the body, and this part has gone into what was kept.
                message.fresh = message.buffered.as_mut().map(std::mem::take).unwrap_or_default();
            }
        });
        Ok(if goes_on { Verdict::Continue } else { Verdict::Pause })
    }

    pub(super) fn on_trailers(&mut self, side: Side, position: usize) -> Result<Verdict, Error> {
        let plugin = self.plugin(side, position);
        let Some(context) = self.context(plugin) else { return Ok(Verdict::Continue) };
        self.half(side, position, |half| half.sees_trailers = true);
        let number = self.message(side, |message| message.trailers.as_ref().map_or(0, Fields::len));
        let callback = match side {
            Side::Request => "proxy_on_request_trailers",
            Side::Response => "proxy_on_response_trailers",
        };
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let goes_on = self.ask(plugin, context, callback, (context, number), side)? == 0;
        if goes_on {
            self.half(side, position, |half| half.sees_trailers = false);
        }
        Ok(if goes_on { Verdict::Continue } else { Verdict::Pause })
    }

    /// Makes the context of a filter that is about to see a request.
    fn begin(&mut self, plugin: usize) -> Result<(), Error> {
        let Some(vm) = self.vms.get_mut(plugin) else { return Ok(()) };
        let context = vm.new_context();
        if let Some(filter) =
            self.world.borrow_mut().stream.as_mut().and_then(|stream| stream.filters.get_mut(plugin))
        {
            filter.context = Some(context);
        }
        vm.about(context);
        vm.call::<(u32, u32), ()>("proxy_on_context_create", (context, ROOT)).map(drop)
    }

    /// Calls a filter about its exchange, and does what it asks for. Without the callback it lets everything go on.
    fn ask<P: wasmtime::WasmParams>(
        &mut self,
        plugin: usize,
        context: u32,
        callback: &'static str,
        arguments: P,
        side: Side,
    ) -> Result<u32, Error> {
        self.world.borrow_mut().side = Some(side);
        let Some(vm) = self.vms.get_mut(plugin) else { return Ok(0) };
        vm.about(context);
        let answer = vm.ask(callback, arguments)?;
        self.act(Some(side))?;
        Ok(answer.unwrap_or(0))
    }
}
