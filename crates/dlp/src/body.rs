//! The body of one message, for the rules that are for it.

use log::Level;
use meshgate_coding::{Caps, Coding, DecodeError, decode, encode};
use meshgate_policy::exchange::{Body as AtHand, BodyMode, Next, Reply, Rest};
use meshgate_policy::host::{Host, HostError, Side};

use crate::codec::{Codec, CodecError};
use crate::config::Uninspected;
use crate::inspect::{Blocked, Inspection};
use crate::kind::Kind;
use crate::metrics;
use crate::place::Place;
use crate::report::Report;
use crate::stream::{Hold, MAX_KEPT, Step, Stream};
use crate::{Dlp, answer, whole};

/// How much of an encoded body is decoded at once: what it becomes may be a thousand times as much.
const SLICE: usize = 4 << 10;

/// A body that is looked into.
#[derive(Debug)]
pub struct Body {
    side: Side,
    /// The rules that are for it.
    rules: u64,
    kind: Kind,
    /// How it comes, and how it goes on.
    from: Coding,
    to: Coding,
    mode: Mode,
    /// How much of what is at hand has been looked at.
    seen: usize,
    /// How much is to come, where the head says so.
    left: Option<u64>,
    /// What waits in the proxy.
    hold: Hold,
    /// No rule does anything to it: what is at hand passes as it came, at once.
    only_reads: bool,
    /// The head waits, and the body has not come.
    awaited: bool,
    /// All of it has been looked into.
    scanned: bool,
}

enum Mode {
    /// As it passes.
    Stream(Stream),
    /// As it passes, decoded.
    Recode {
        stream: Stream,
        codec: Box<Codec>,
        /// What becomes of what is at hand.
        out: Vec<u8>,
        /// Something has been passed on.
        passed: bool,
    },
    /// At once.
    Whole,
    /// As it is: it can't be looked into, and may pass.
    Pass,
}

/// Nothing of what passes.
impl std::fmt::Debug for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stream(_) => "Stream",
            Self::Recode { .. } => "Recode",
            Self::Whole => "Whole",
            Self::Pass => "Pass",
        })
    }
}

/// What is known of a body when its head passes.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Of which message it is.
    pub side: Side,
    /// The rules that are for it.
    pub rules: u64,
    /// What it is.
    pub kind: Kind,
    /// How it comes.
    pub from: Coding,
    /// How it goes on.
    pub to: Coding,
    /// Its length, where the head says so.
    pub length: Option<u64>,
    /// A rule may change it.
    pub changes: bool,
    /// A rule has to see all of it.
    pub whole: bool,
    /// The head waits for it.
    pub holds_head: bool,
    /// What of it waits in the proxy where its end is not decided.
    pub hold: Hold,
}

/// Why a body does not go on.
enum Stop {
    Blocked(Blocked),
    Codec(CodecError),
    Failed(HostError),
}

impl From<Blocked> for Stop {
    fn from(blocked: Blocked) -> Self {
        Self::Blocked(blocked)
    }
}

impl From<CodecError> for Stop {
    fn from(error: CodecError) -> Self {
        Self::Codec(error)
    }
}

impl From<HostError> for Stop {
    fn from(error: HostError) -> Self {
        Self::Failed(error)
    }
}

impl Body {
    /// Begins to look into a body. Returns how its bytes are to come.
    pub fn begin(dlp: &Dlp, plan: Plan) -> (Self, BodyMode) {
        let Plan { side, rules, kind, from, to, length, changes, whole, holds_head, hold } = plan;
        let holds_lines = dlp.rules.of(rules).any(|(_, rule)| rule.needs_whole());
        let longest_line = holds_lines.then_some(dlp.bodies.max_held);
        let stream = |recodes| Stream::new(recodes, changes, longest_line);
        let (mode, reads) = if whole {
            let limit = dlp.bodies.max_held;
            (Mode::Whole, BodyMode::Whole { limit, hold_head: holds_head })
        } else if from == Coding::Identity {
            (Mode::Stream(stream(false)), BodyMode::Window { limit: usize::MAX })
        } else {
            let codec = Box::new(Codec::new(from, to, dlp.bodies.max_ratio));
            let mode = Mode::Recode { stream: stream(true), codec, out: Vec::new(), passed: false };
            (mode, BodyMode::Window { limit: usize::MAX })
        };
        let body = Self {
            side,
            rules,
            kind,
            from,
            to,
            mode,
            seen: 0,
            left: length,
            hold,
            only_reads: !changes,
            awaited: holds_head,
            scanned: false,
        };
        (body, reads)
    }

    /// Whether the head waits for it, and it has not come.
    pub const fn is_awaited(&self) -> bool {
        self.awaited
    }

    /// Whether all of it has been looked into.
    pub const fn is_scanned(&self) -> bool {
        self.scanned
    }

    /// Looks at what is at hand.
    ///
    /// # Errors
    /// What the host refused.
    pub fn take(
        &mut self,
        dlp: &Dlp,
        host: &mut dyn Host,
        at_hand: AtHand,
        report: &mut Report,
    ) -> Result<Next, HostError> {
        if std::mem::take(&mut self.awaited) {
            dlp.heads_can_wait.set(true);
        }
        let taken = match self.mode {
            Mode::Pass => return Ok(Next::Continue),
            Mode::Whole => self.take_whole(dlp, host, at_hand, report),
            Mode::Stream(_) | Mode::Recode { .. } => self.take_part(dlp, host, at_hand, report),
        };
        match taken {
            Ok(next) => Ok(next),
            Err(Stop::Blocked(blocked)) => Ok(reply(answer::blocked(self.side, blocked.status))),
            Err(Stop::Codec(error)) => Ok(self.undecodable(dlp, host, error)),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    fn take_part(
        &mut self,
        dlp: &Dlp,
        host: &mut dyn Host,
        at_hand: AtHand,
        report: &mut Report,
    ) -> Result<Next, Stop> {
        let side = self.side;
        let bytes =
            if at_hand.size > self.seen { host.body(side, self.seen, usize::MAX)? } else { Vec::new() };
        self.seen = at_hand.size;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(bytes.len() as u64);
        }
        let end = at_hand.rest == Rest::End || self.left == Some(0);
        let hold = if end || self.only_reads { Hold::Nothing } else { self.hold };
        let kind = self.kind;
        let place = Place::body(side);
        let Some(scanner) = dlp.rules.scanner(place) else { return Ok(Next::Continue) };
        let mut inspection = Inspection { dlp, rules: self.rules, place, report, quotes: None };
        let step = match &mut self.mode {
            Mode::Stream(stream) => stream.push(bytes, end, hold, kind, scanner, &mut inspection)?,
            Mode::Recode { stream, codec, out, passed } => {
                for slice in bytes.chunks(SLICE) {
                    let plain = codec.decode(slice)?;
                    if let Step::Replace(plain) =
                        stream.push(plain, false, Hold::Nothing, kind, scanner, &mut inspection)?
                        && !self.only_reads
                    {
                        out.extend(codec.encode(&plain, false, false)?);
                    }
                }
                if end {
                    codec.finish()?;
                    if let Step::Replace(plain) =
                        stream.push(Vec::new(), true, Hold::Nothing, kind, scanner, &mut inspection)?
                        && !self.only_reads
                    {
                        out.extend(codec.encode(&plain, true, false)?);
                    }
                } else if !stream.keeps() && !self.only_reads {
                    let complete = codec.is_complete();
                    out.extend(codec.encode(&[], complete, kind == Kind::EVENTS)?);
                }
                let holds = match hold {
                    Hold::Nothing => false,
                    Hold::Undecided => stream.keeps(),
                    Hold::All => true,
                };
                if holds && at_hand.size <= MAX_KEPT {
                    Step::Hold
                } else {
                    *passed = true;
                    Step::Replace(std::mem::take(out))
                }
            }
            Mode::Whole | Mode::Pass => Step::Pass,
        };
        let step = if self.only_reads { Step::Pass } else { step };
        self.finish_part(dlp, host, at_hand, step)
    }

    /// Does what was decided on a part.
    fn finish_part(
        &mut self,
        dlp: &Dlp,
        host: &mut dyn Host,
        at_hand: AtHand,
        step: Step,
    ) -> Result<Next, Stop> {
        if step == Step::Hold {
            return Ok(Next::Hold);
        }
        self.seen = 0;
        if at_hand.size > 0 {
            // Nothing waits in the proxy once a part has been passed on: another filter, or the router, may keep that part in the
            // buffer that all of them share.
            self.hold = Hold::Nothing;
        }
        if at_hand.rest == Rest::End {
            self.scanned = true;
            dlp.metrics.body(host, metrics::Body::Scanned);
        }
        match step {
            Step::Replace(bytes) if at_hand.size > 0 => host.set_body(self.side, &bytes)?,
            Step::Replace(bytes) if !bytes.is_empty() => {
                // Behind an empty last part there is a buffer; in front of trailers there is none.
                if host.set_body(self.side, &bytes).is_err() {
                    dlp.metrics.body(host, metrics::Body::Cut);
                    return Ok(reply(answer::cut(self.side)));
                }
            }
            Step::Replace(_) | Step::Pass | Step::Hold => {}
        }
        Ok(Next::Continue)
    }

    fn take_whole(
        &mut self,
        dlp: &Dlp,
        host: &mut dyn Host,
        at_hand: AtHand,
        report: &mut Report,
    ) -> Result<Next, Stop> {
        if at_hand.rest == Rest::OverLimit {
            return Ok(self.too_large(dlp, host));
        }
        if at_hand.size == 0 {
            return Ok(Next::Continue);
        }
        let body = host.body(self.side, 0, usize::MAX)?;
        let text = if self.from == Coding::Identity {
            body
        } else {
            let caps = Caps { size: dlp.bodies.max_held, ratio: dlp.bodies.max_ratio };
            match decode(self.from, &body, &caps) {
                Ok(text) => text,
                Err(DecodeError::Size { .. }) => return Ok(self.too_large(dlp, host)),
                Err(error) => return Err(CodecError::Decode(error).into()),
            }
        };
        let place = Place::body(self.side);
        let (Some(form), Some(scanner)) = (self.kind.form(&text, true), dlp.rules.scanner(place)) else {
            return Ok(Next::Continue);
        };
        let mut inspection = Inspection { dlp, rules: self.rules, place, report, quotes: None };
        let changed = whole::inspect(&text, form, scanner, &mut inspection)?;
        self.scanned = true;
        dlp.metrics.body(host, metrics::Body::Scanned);
        if self.from == self.to {
            // What nothing was found in stays as it came.
            if let Some(changed) = changed {
                let changed = encode(self.to, &changed).map_err(CodecError::from)?;
                host.set_body(self.side, &changed)?;
            }
        } else {
            let body = encode(self.to, &changed.unwrap_or(text)).map_err(CodecError::from)?;
            host.set_body(self.side, &body)?;
        }
        Ok(Next::Continue)
    }

    fn too_large(&mut self, dlp: &Dlp, host: &mut dyn Host) -> Next {
        host.explain(format_args!("{} is longer than bodies.max_held", Place::body(self.side).name()));
        let enforced = dlp.rules.of(self.rules).any(|(_, rule)| rule.enforces());
        // In another coding than its head says by now it can't pass.
        if self.from == self.to && (dlp.bodies.over_limit == Uninspected::Pass || !enforced) {
            dlp.metrics.body(host, metrics::Body::LargePassed);
            self.mode = Mode::Pass;
            return Next::Continue;
        }
        dlp.metrics.body(host, metrics::Body::LargeBlocked);
        reply(answer::too_large(self.side))
    }

    /// A body that turns out to be broken. It can pass only if nothing of it has changed yet.
    fn undecodable(&mut self, dlp: &Dlp, host: &mut dyn Host, error: CodecError) -> Next {
        dlp.log(host, Level::Info, || format!("a body of a {:?} can't be looked into: {error:?}", self.side));
        host.explain(format_args!("{} can't be decoded", Place::body(self.side).name()));
        let enforced = dlp.rules.of(self.rules).any(|(_, rule)| rule.enforces());
        let passed = matches!(self.mode, Mode::Recode { passed: true, .. });
        let untouched = self.only_reads || (self.from == self.to && !passed);
        if untouched && (dlp.bodies.undecodable == Uninspected::Pass || !enforced) {
            dlp.metrics.body(host, metrics::Body::UndecodablePassed);
            self.mode = Mode::Pass;
            return Next::Continue;
        }
        dlp.metrics.body(host, metrics::Body::UndecodableBlocked);
        reply(answer::undecodable(self.side))
    }
}

/// An answer in the message's place.
pub fn reply(reply: Reply) -> Next {
    Next::Reply(Box::new(reply))
}
