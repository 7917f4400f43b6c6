//! A message on its way through the filters, as Envoy's filter manager and its Wasm filter have it.
//!
//! A request goes through the filters in their order, a response in the reverse one; here both go from position 0 to the
//! end, which is the router or the client. A filter that answers `Continue` lets a part go on; one that pauses in the head
//! stops all that follows (`StopAllIterationAndWatermark`) unless it may hold headers, and then only the head; one that
//! pauses in the body has it kept in a buffer that all filters share, and sees the whole of it with the next part. What is
//! kept goes on when the filter lets the next part go on, or is told to by `proxy_continue_stream`.

mod callbacks;

use std::cell::RefCell;
use std::rc::Rc;

use self::callbacks::Verdict;
use crate::error::Error;
use crate::guest::{ROOT, Vm};
use crate::message::{Fields, Received, Side};
use crate::reply::LocalReply;
use crate::stream::{Filter, Half, Iteration, Message, Source, Stream};
use crate::world::{Action, World};

/// The filters and the exchange that goes through them.
pub(crate) struct Chain {
    pub(crate) vms: Vec<Vm>,
    /// Which of them may hold headers for a body.
    pub(crate) hold_headers: Vec<bool>,
    pub(crate) world: Rc<RefCell<World>>,
    /// How much of a body is kept for a filter that wants all of it.
    pub(crate) buffer_limit: usize,
    pub(crate) run: Run,
}

/// What has become of the exchange so far.
#[derive(Default)]
pub(crate) struct Run {
    /// What each filter got of the request, and behind the last the upstream.
    pub(crate) request_at: Vec<Option<Received>>,
    /// What came out of each filter of the response, and behind the last what came into it.
    pub(crate) response_at: Vec<Option<Received>>,
    /// A reply that is about to be sent.
    pub(crate) reply: Option<LocalReply>,
    /// The client has got all there is.
    pub(crate) over: bool,
    /// The client has got a head and then no more.
    pub(crate) reset: bool,
}

impl Chain {
    /// Lets a head go on from this position.
    pub(crate) fn head(&mut self, side: Side, from: usize, end: bool) -> Result<(), Error> {
        for position in from..self.vms.len() {
            self.record_head(side, position);
            self.half(side, position, |half| half.end = end);
            let verdict = self.on_head(side, position, end)?;
            if self.aborted(side) {
                return Ok(());
            }
            let goes_on = self.half(side, position, |half| {
                half.state = match verdict {
                    Verdict::Continue => Iteration::Continue,
                    Verdict::Pause => Iteration::StopSingle,
                    Verdict::StopAll => Iteration::StopAll,
                };
                half.headers_continued = verdict == Verdict::Continue;
                half.headers_continued
            });
            if !goes_on {
                return Ok(());
            }
        }
        self.record_head(side, self.vms.len());
        if end {
            self.ends(side);
        }
        Ok(())
    }

    /// Lets a part of a body go on from this position.
    pub(crate) fn data(&mut self, side: Side, from: usize, source: Source, end: bool) -> Result<(), Error> {
        let had_trailers = self.message(side, |message| message.trailers.is_some());
        let mut added = None;
        for position in from..self.vms.len() {
            if self.half(side, position, |half| half.state == Iteration::StopAll) {
                self.message(side, |message| message.streaming = true);
                self.keep(side, source);
                return Ok(());
            }
            if self.half(side, position, |half| half.end) {
                return Ok(());
            }
            let is_last = end && self.message(side, |message| message.trailers.is_none());
            self.half(side, position, |half| half.end = is_last);
            self.record_data(side, position, source);
            let verdict = self.on_body(side, position, source, is_last)?;
            if end
                && !had_trailers
                && added.is_none()
                && self.message(side, |message| message.trailers.is_some())
            {
                added = Some(position);
            }
            if self.aborted(side) {
                return Ok(());
            }
            if verdict != Verdict::Continue {
                self.half(side, position, |half| half.state = Iteration::StopSingle);
                self.keep(side, source);
                return Ok(());
            }
            if self.half(side, position, |half| half.state == Iteration::StopSingle) {
                self.keep(side, source);
                return self.go_on(side, position);
            }
        }
        let bytes = self.message(side, |message| std::mem::take(message.body_mut(source)));
        let boundary = self.boundary(side, self.vms.len());
        if let Some(Some(there)) = self.at(side).get_mut(boundary) {
            there.body.extend(bytes);
        }
        match added {
            Some(position) => self.trailers(side, position.saturating_add(1)),
            None => {
                if end {
                    self.ends(side);
                }
                Ok(())
            }
        }
    }

    /// Lets trailers go on from this position.
    pub(crate) fn trailers(&mut self, side: Side, from: usize) -> Result<(), Error> {
        for position in from..self.vms.len() {
            if self.half(side, position, |half| half.state == Iteration::StopAll) {
                return Ok(());
            }
            self.record_trailers(side, position);
            let verdict = self.on_trailers(side, position)?;
            self.half(side, position, |half| half.end = true);
            if self.aborted(side) {
                return Ok(());
            }
            let stopped = self.half(side, position, |half| half.state == Iteration::StopSingle);
            match verdict {
                Verdict::Continue if stopped => return self.go_on(side, position),
                Verdict::Continue => {}
                _ => {
                    self.half(side, position, |half| half.state = Iteration::StopSingle);
                    return Ok(());
                }
            }
        }
        self.record_trailers(side, self.vms.len());
        self.ends(side);
        Ok(())
    }

    /// Lets go what a filter holds.
    pub(crate) fn go_on(&mut self, side: Side, position: usize) -> Result<(), Error> {
        if self.aborted(side) {
            return Ok(());
        }
        let (from_current, head_waits) = self.half(side, position, |half| {
            half.from_current |= half.state == Iteration::StopAll;
            half.state = Iteration::Continue;
            (half.from_current, !std::mem::replace(&mut half.headers_continued, true))
        });
        let next = position.saturating_add(1);
        let rest = if from_current { position } else { next };
        if head_waits {
            let end = self.message(side, |message| {
                message.complete && message.buffered.is_none() && message.trailers.is_none()
            });
            self.head(side, next, end)?;
        }
        let has_trailers = self.message(side, |message| message.trailers.is_some());
        if !self.aborted(side) && self.message(side, |message| message.buffered.is_some()) {
            let end = self.message(side, |message| message.complete) && !has_trailers;
            self.data(side, rest, Source::Buffered, end)?;
        }
        if !self.aborted(side) && has_trailers {
            self.trailers(side, rest)?;
        }
        self.half(side, position, |half| half.from_current = false);
        Ok(())
    }

    /// Sends the reply that somebody has asked for.
    pub(crate) fn send_reply(&mut self) -> Result<(), Error> {
        let Some(reply) = self.run.reply.take() else { return Ok(()) };
        let has_head = self.message(Side::Response, |message| message.head.is_some());
        let head_sent = self.run.response_at.first().is_some_and(Option::is_some);
        if head_sent {
            self.message(Side::Response, |message| message.aborted = true);
            (self.run.over, self.run.reset) = (true, true);
            return Ok(());
        }
        let (head, body) = {
            let mut world = self.world.borrow_mut();
            let Some(stream) = world.stream.as_mut() else { return Ok(()) };
            stream.facts.details.clone_from(&reply.details);
            stream.facts.flags |= reply.flags;
            reply.messages(stream.request.head.as_ref())
        };
        if has_head {
            // The response is on its way: the client gets this in its place, and no filter sees it.
            self.message(Side::Response, |message| {
                (message.aborted, message.head) = (true, Some(head.clone()));
            });
            if let Some(first) = self.run.response_at.first_mut() {
                *first = Some(Received { headers: head, body, trailers: Fields::new(), complete: true });
            }
            self.run.over = true;
            return Ok(());
        }
        let end = body.is_empty();
        self.message(Side::Response, |message| {
            message.size = body.len();
            (message.head, message.fresh, message.complete) = (Some(head), body, true);
        });
        self.head(Side::Response, 0, end)?;
        if !end && !self.aborted(Side::Response) {
            self.data(Side::Response, 0, Source::Fresh, true)?;
        }
        Ok(())
    }

    /// Does what a plugin asked for in a callback that is over.
    pub(crate) fn act(&mut self, inside: Option<Side>) -> Result<(), Error> {
        let actions = std::mem::take(&mut self.world.borrow_mut().actions);
        for (plugin, action) in actions {
            match action {
                Action::Reply { context, reply } if self.is_current(plugin, context) => {
                    // Whoever replies while the request is on its way ends the request, and else the response.
                    let has_response = self.message(Side::Response, |message| message.head.is_some());
                    let ended = inside.unwrap_or(if has_response { Side::Response } else { Side::Request });
                    self.message(ended, |message| message.aborted = true);
                    self.run.reply.get_or_insert(reply);
                }
                Action::Continue { context, side } if self.is_current(plugin, context) => {
                    let position = self.boundary_of(side, plugin);
                    if self.half(side, position, |half| half.state != Iteration::Continue) {
                        self.go_on(side, position)?;
                    }
                }
                Action::Reply { .. } | Action::Continue { .. } => {}
            }
        }
        Ok(())
    }

    /// Tells the filters that the exchange is over.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        self.world.borrow_mut().side = None;
        for plugin in 0..self.vms.len() {
            let Some(vm) = self.vms.get_mut(plugin) else { continue };
            // One that has seen nothing of it gets a context all the same.
            let context =
                match self.world.borrow().stream.as_ref().and_then(|all| all.filters.get(plugin)?.context) {
                    Some(context) => context,
                    None => vm.new_context(),
                };
            let mut is_new = false;
            if let Some(filter) =
                self.world.borrow_mut().stream.as_mut().and_then(|stream| stream.filters.get_mut(plugin))
            {
                is_new = filter.context.is_none();
                filter.context = Some(context);
                (filter.request.sees_head, filter.response.sees_head) = (true, true);
                (filter.request.sees_trailers, filter.response.sees_trailers) = (true, true);
            }
            vm.about(context);
            if is_new {
                vm.call::<(u32, u32), ()>("proxy_on_context_create", (context, ROOT))?;
            }
            vm.call::<u32, ()>("proxy_on_log", context)?;
            vm.ask::<u32>("proxy_on_done", context)?;
            vm.call::<u32, ()>("proxy_on_delete", context)?;
        }
        self.world.borrow_mut().actions.clear();
        Ok(())
    }

    /// Puts a part into the buffer, where it is not there already.
    fn keep(&mut self, side: Side, source: Source) {
        let limit = self.buffer_limit;
        let too_large = self.message(side, |message| {
            if source == Source::Fresh {
                let fresh = std::mem::take(&mut message.fresh);
                message.buffered.get_or_insert_default().extend(fresh);
            }
            !message.streaming && message.body(Source::Buffered).len() > limit
        });
        if too_large && self.run.reply.is_none() {
            self.message(side, |message| message.aborted = true);
            self.run.reply = Some(match side {
                Side::Request => LocalReply::new(413, "request_payload_too_large", "Payload Too Large"),
                Side::Response => LocalReply::new(500, "response_payload_too_large", "Internal Server Error"),
            });
        }
    }

    fn ends(&mut self, side: Side) {
        let boundary = self.boundary(side, self.vms.len());
        if let Some(Some(there)) = self.at(side).get_mut(boundary) {
            there.complete = true;
        }
        self.run.over |= side == Side::Response;
    }

    fn record_head(&mut self, side: Side, position: usize) {
        let headers = self.message(side, |message| message.head.clone().unwrap_or_default());
        let boundary = self.boundary(side, position);
        if let Some(there) = self.at(side).get_mut(boundary) {
            *there = Some(Received { headers, ..Received::default() });
        }
    }

    fn record_data(&mut self, side: Side, position: usize, source: Source) {
        let bytes = self.message(side, |message| message.body(source).to_vec());
        let boundary = self.boundary(side, position);
        if let Some(Some(there)) = self.at(side).get_mut(boundary) {
            there.body.extend(bytes);
        }
    }

    fn record_trailers(&mut self, side: Side, position: usize) {
        let trailers = self.message(side, |message| message.trailers.clone().unwrap_or_default());
        let boundary = self.boundary(side, position);
        if let Some(Some(there)) = self.at(side).get_mut(boundary) {
            there.trailers = trailers;
        }
    }

    fn at(&mut self, side: Side) -> &mut Vec<Option<Received>> {
        match side {
            Side::Request => &mut self.run.request_at,
            Side::Response => &mut self.run.response_at,
        }
    }

    /// Which plugin stands at a position.
    fn plugin(&self, side: Side, position: usize) -> usize {
        match side {
            Side::Request => position,
            Side::Response => self.vms.len().saturating_sub(1).saturating_sub(position),
        }
    }

    /// At which position a plugin stands.
    fn boundary_of(&self, side: Side, plugin: usize) -> usize {
        // The order is reversed or it is not: the way back is the same.
        self.plugin(side, plugin)
    }

    /// In front of which filter a position is, counted in the order of the chain; a response comes from behind.
    fn boundary(&self, side: Side, position: usize) -> usize {
        match side {
            Side::Request => position,
            Side::Response => self.vms.len().saturating_sub(position),
        }
    }

    fn context(&self, plugin: usize) -> Option<u32> {
        self.world.borrow().stream.as_ref()?.filters.get(plugin)?.context
    }

    fn is_current(&self, plugin: usize, context: u32) -> bool {
        self.context(plugin) == Some(context)
    }

    pub(crate) fn aborted(&self, side: Side) -> bool {
        self.message(side, |message| message.aborted)
    }

    pub(crate) fn message<T: Default>(&self, side: Side, with: impl FnOnce(&mut Message) -> T) -> T {
        let mut world = self.world.borrow_mut();
        world.stream.as_mut().map(|stream| with(stream.message_mut(side))).unwrap_or_default()
    }

    fn half<T: Default>(&self, side: Side, position: usize, with: impl FnOnce(&mut Half) -> T) -> T {
        let plugin = self.plugin(side, position);
        let mut world = self.world.borrow_mut();
        let filter = |stream: &mut Stream| Some(with(stream.filters.get_mut(plugin)?.half_mut(side)));
        world.stream.as_mut().and_then(filter).unwrap_or_default()
    }

    /// The plugins at which the exchange has stopped.
    pub(crate) fn holders(&self) -> Vec<String> {
        let world = self.world.borrow();
        let stopped = |filter: &Filter| {
            [Side::Request, Side::Response]
                .into_iter()
                .any(|side| filter.half(side).state != Iteration::Continue)
        };
        let filters = world.stream.iter().flat_map(|stream| &stream.filters);
        filters
            .zip(&self.vms)
            .filter(|(filter, _)| stopped(filter))
            .map(|(_, vm)| vm.name().to_owned())
            .collect()
    }
}
