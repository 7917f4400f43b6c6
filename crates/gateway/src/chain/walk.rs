//! The way of a message through the stages: from one to the next, kept at one of them, and out of the last.

use meshgate_policy::drive::Flow;
use meshgate_policy::exchange::{BodyMode, Next};
use meshgate_policy::host::{Host, HostError, Map, Part, Position, Side};

use super::host::StageHost;
use super::link::{Data, Event, Link, Stop};
use super::{Answered, Chain, MAX_KEPT, Running, Stages, Stopped};
use crate::trace;

impl<S: Stages> Chain<S> {
    /// Brings a part of a message to the stage at a place on its way, and to those behind it as far as it goes.
    pub(super) fn deliver(
        &mut self,
        host: &mut dyn Host,
        side: Side,
        place: usize,
        event: Event,
    ) -> Result<(), Stopped> {
        let Some(index) = self.stage_at(side, place) else { return Ok(self.take_out(host, side, event)?) };
        let begins = side == Side::Request && matches!(event, Event::Head { .. });
        if begins {
            self.begin(host, index)?;
        }
        let next = place.saturating_add(1);
        let Some(Some(running)) = self.running.get_mut(index) else {
            return self.deliver(host, side, next, event);
        };
        let link = running.link(side);
        link.entered |= matches!(event, Event::Head { .. }) && !link.done;
        if !link.is_open() {
            return self.deliver(host, side, next, event);
        }
        if link.stop == Stop::Unseen {
            return Ok(link.backlog.take(host, side, event)?);
        }
        let began = self.common.trace.is_some().then(|| host.now());
        let flow = match event {
            Event::Head { end } => {
                (link.head, link.end) = (true, end);
                let (drive, mut stage) = running.parts(host, &mut self.common, index);
                drive.head(&mut stage, side, end)
            }
            Event::Body { data, end } => {
                let body = link.body.get_or_insert_default();
                body.append(host, side, data)?;
                let size = body.len();
                link.end |= end;
                let (drive, mut stage) = running.parts(host, &mut self.common, index);
                drive.body(&mut stage, side, size, end)
            }
            Event::BareEnd => {
                (link.bare_end, link.end) = (true, true);
                let size = link.body.as_ref().map_or(0, Data::len);
                let (drive, mut stage) = running.parts(host, &mut self.common, index);
                drive.body(&mut stage, side, size, true)
            }
            Event::Trailers => {
                (link.trailers, link.end) = (true, true);
                let (drive, mut stage) = running.parts(host, &mut self.common, index);
                drive.trailers(&mut stage, side)
            }
        };
        if let (Some(trace), Some(began)) = (&mut self.common.trace, began) {
            trace.took(index, host.now().since(began));
        }
        self.follow(host, side, index, flow)
    }

    /// Begins at a stage, if it is for this request.
    fn begin(&mut self, host: &mut dyn Host, index: usize) -> Result<(), HostError> {
        let drive =
            self.outside(host, Side::Request, Part::Head, |stages, host| stages.begin(index, host))?;
        match (drive, self.running.get_mut(index)) {
            (Some(drive), Some(slot)) => {
                let (position, request, response) = (Position::Between, Link::default(), Link::default());
                *slot = Some(Running { drive, position, request, response });
            }
            _ => self.common.explain(host, index, format_args!("not for this request")),
        }
        Ok(())
    }

    /// Asks the stages about a message, between two of them.
    pub(super) fn outside<T>(
        &mut self,
        host: &mut dyn Host,
        side: Side,
        part: Part,
        ask: impl FnOnce(&S, &mut dyn Host) -> Result<T, HostError>,
    ) -> Result<T, HostError> {
        let mut position = Position::Message { side, part, head_held: part == Part::Head };
        let (request, response) = (&mut None, &mut None);
        let (common, position) = (&mut self.common, &mut position);
        let mut host = StageHost { real: host, common, index: usize::MAX, position, request, response };
        ask(&self.stages, &mut host)
    }

    /// Does what a stage has decided about what is there of a message.
    pub(super) fn follow(
        &mut self,
        host: &mut dyn Host,
        side: Side,
        index: usize,
        flow: Flow,
    ) -> Result<(), Stopped> {
        match flow {
            Flow::Continue => self.release(host, side, index),
            Flow::Resume(side) => self.release(host, side, index),
            Flow::Pause => self.keep(host, side, index, Stop::Shown),
            Flow::Stop => self.keep(host, side, index, Stop::Unseen),
            Flow::Defer(deferred) => {
                // Here nothing is lost, so the moment is over at once.
                self.keep(host, side, index, Stop::Shown)?;
                let Some(Some(running)) = self.running.get_mut(index) else { return Ok(()) };
                let (drive, mut stage) = running.parts(host, &mut self.common, index);
                match drive.wake(&mut stage, deferred) {
                    Flow::Continue | Flow::Pause | Flow::Stop | Flow::Defer(_) => Ok(()),
                    flow => self.follow(host, deferred, index, flow),
                }
            }
            Flow::Reply(reply) => Err(Stopped::Answered(Answered { by: index, reply })),
        }
    }

    /// Keeps what is there of a message at a stage.
    fn keep(&mut self, host: &mut dyn Host, side: Side, index: usize, stop: Stop) -> Result<(), Stopped> {
        if let Some(Some(running)) = self.running.get_mut(index) {
            let link = running.link(side);
            link.stop = stop;
            if let Some(body) = &mut link.body {
                body.keep(host, side)?;
            }
        }
        Ok(())
    }

    /// Passes on what is there of a message at a stage, and shows it what came meanwhile.
    fn release(&mut self, host: &mut dyn Host, side: Side, index: usize) -> Result<(), Stopped> {
        let Some(Some(running)) = self.running.get_mut(index) else { return Ok(()) };
        let link = running.link(side);
        link.stop = Stop::No;
        let (head, body, trailers) =
            (std::mem::take(&mut link.head), link.body.take(), std::mem::take(&mut link.trailers));
        let (end, backlog) = (link.end, std::mem::take(&mut link.backlog));
        let bare_end = std::mem::take(&mut link.bare_end);
        let place = self.place_of(side, index);
        let next = place.saturating_add(1);
        // With the head goes its end, if nothing follows; an end that has come with a body goes with that.
        if head {
            let end = end && body.is_none() && !bare_end && !trailers;
            self.deliver(host, side, next, Event::Head { end })?;
        }
        if let Some(data) = body {
            let end = end && !trailers;
            if end || data.len() > 0 {
                self.deliver(host, side, next, Event::Body { data, end })?;
            }
        }
        if bare_end {
            self.deliver(host, side, next, Event::BareEnd)?;
        }
        if trailers {
            self.deliver(host, side, next, Event::Trailers)?;
        }
        if let Some(data) = backlog.body {
            self.deliver(host, side, place, Event::Body { data, end: backlog.end })?;
        }
        if backlog.bare_end {
            self.deliver(host, side, place, Event::BareEnd)?;
        }
        if backlog.trailers {
            self.deliver(host, side, place, Event::Trailers)?;
        }
        Ok(())
    }

    /// Takes what comes out of the last stage.
    fn take_out(&mut self, host: &mut dyn Host, side: Side, event: Event) -> Result<(), HostError> {
        let way = self.way(side);
        match event {
            Event::Head { .. } => way.head = true,
            Event::Body { mut data, .. } => {
                if way.body.is_empty() && !way.same && data.is_all_of_host() {
                    way.same = true;
                    return Ok(());
                }
                if std::mem::take(&mut way.same) {
                    way.body = host.body(side, 0, usize::MAX)?;
                }
                let bytes = std::mem::take(data.load(host, side)?);
                let way = self.way(side);
                if way.body.is_empty() {
                    way.body = bytes;
                } else {
                    way.body.extend(bytes);
                }
            }
            Event::BareEnd | Event::Trailers => {}
        }
        Ok(())
    }

    /// Says what the proxy does with what it has at hand.
    pub(super) fn conclude(
        &mut self,
        host: &mut dyn Host,
        side: Side,
        part: Part,
    ) -> Result<Next, HostError> {
        if self.waits(side) {
            return match side {
                Side::Request => Ok(Next::Wait),
                Side::Response => Err(HostError::PhasesMissing),
            };
        }
        let (busy, keeps) = (self.is_busy(side), self.keeps(side));
        let way = self.way(side);
        if !way.head {
            return match part {
                _ if way.ended => Err(HostError::NothingToWaitFor),
                Part::Head => Ok(Next::ReadBody(BodyMode::HeldWindow)),
                Part::Body | Part::Trailers => Ok(Next::Hold),
            };
        }
        let waits_for_more = part == Part::Body && !way.ended && way.body.is_empty() && !way.same;
        // A part that is passed on empty counts as one: behind it, nothing could be kept where trailers follow.
        if waits_for_more && !way.passed && (keeps || (busy && way.flushed && way.seen <= MAX_KEPT)) {
            return Ok(Next::Hold);
        }
        if part == Part::Trailers {
            self.common.section(Map::trailers(side)).flush(host, Map::trailers(side))?;
        }
        self.flush_head(host, side)?;
        let way = self.way(side);
        if part != Part::Head {
            way.passed |= way.same || !way.body.is_empty();
            let same = std::mem::take(&mut way.same);
            let body = std::mem::take(&mut way.body);
            way.seen = 0;
            let bare_end = way.bare_end;
            let writes = !body.is_empty() || (part == Part::Body && !bare_end);
            if writes && !same {
                host.set_body(side, &body)?;
            }
        }
        if part == Part::Head && busy && !self.way(side).ended {
            return Ok(Next::ReadBody(BodyMode::Window { limit: usize::MAX }));
        }
        Ok(Next::Continue)
    }

    /// Writes the head, when the last stage has passed it on.
    fn flush_head(&mut self, host: &mut dyn Host, side: Side) -> Result<(), HostError> {
        if std::mem::replace(&mut self.way(side).flushed, true) {
            return Ok(());
        }
        let map = Map::head(side);
        if side == Side::Response
            && let Some(line) = self.common.trace.as_ref().and_then(|trace| trace.line())
        {
            self.common.section(map).set(&trace::FIELD, &line);
        }
        if side == Side::Request {
            self.common.kind = self.common.request_head.kind();
        }
        self.common.section(map).flush(host, map)
    }
}
