//! From the notes of a scan to the changed text.

use std::cmp::Reverse;

use super::frame::{Creation, FrameEdit};
use super::work::{Machine, Notes, Span, What};
use crate::error::{ErrorKind, JsonError};
use crate::path::Selector;
use crate::string;

/// What an edit puts into the text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Payload<'p> {
    /// Whether it does anything: a copy without a source does not.
    pub live: bool,
    /// Its value.
    pub value: &'p [u8],
    /// Its value, where it is made and not appended, is an array of it.
    pub in_array: bool,
    /// Its member name.
    pub name: &'p str,
}

/// Puts the pieces of `notes` into `text`; nothing if that changes nothing: there are none, or they are what was there.
pub(super) fn apply(
    text: &[u8],
    notes: &Notes,
    machines: &[Machine<'_>],
    payloads: &[Payload<'_>],
    limit: usize,
) -> Result<Option<Vec<u8>>, JsonError> {
    let splicer = Splicer { text, notes, machines, payloads };
    let mut pieces = splicer.pieces();
    if pieces.is_empty() {
        return Ok(None);
    }
    pieces.sort_by_key(|piece| (piece.span.0, Reverse(piece.span.1)));
    let mut out = Output { bytes: Vec::with_capacity(text.len().saturating_add(64).min(limit)), limit };
    let (mut done, mut changed) = (0, false);
    for piece in &pieces {
        // What lies in a piece that went is gone with it.
        if piece.span.0 < done {
            continue;
        }
        out.put(text.get(done..piece.span.0).unwrap_or_default())?;
        let begin = out.bytes.len();
        splicer.write(piece, &mut out)?;
        changed |= out.bytes.get(begin..) != text.get(piece.span.0..piece.span.1);
        done = piece.span.1;
    }
    out.put(text.get(done..).unwrap_or_default())?;
    Ok(changed.then_some(out.bytes))
}

/// New text for a range of the old one.
struct Piece<'n> {
    span: Span,
    content: Content<'n>,
}

enum Content<'n> {
    Nothing,
    Value(usize),
    Name(usize),
    /// Made members or elements, and what stands between them.
    Made {
        frame: &'n FrameEdit,
        made: Vec<&'n Creation>,
        after_others: bool,
    },
}

struct Splicer<'n> {
    text: &'n [u8],
    notes: &'n Notes,
    machines: &'n [Machine<'n>],
    payloads: &'n [Payload<'n>],
}

impl<'n> Splicer<'n> {
    fn live(&self, op: usize) -> bool {
        self.payloads.get(op).is_some_and(|payload| payload.live)
    }

    fn payload(&self, op: usize) -> Payload<'n> {
        self.payloads.get(op).copied().unwrap_or_default()
    }

    fn pieces(&self) -> Vec<Piece<'n>> {
        let splices = self.notes.splices.iter().filter(|splice| self.live(splice.op));
        let mut pieces: Vec<_> = splices
            .map(|splice| Piece {
                span: splice.span,
                content: match splice.what {
                    What::Value => Content::Value(splice.op),
                    What::Name => Content::Name(splice.op),
                },
            })
            .collect();
        for frame in &self.notes.frames {
            self.frame(frame, &mut pieces);
        }
        pieces
    }

    /// What goes from a container, and what comes at its end.
    fn frame(&self, frame: &'n FrameEdit, pieces: &mut Vec<Piece<'n>>) {
        let creations = self.notes.creations.get(frame.creations.clone()).unwrap_or_default();
        let mut made: Vec<_> = creations.iter().filter(|creation| self.live(creation.op)).collect();
        made.sort_by_key(|creation| (creation.op, Reverse(creation.segment)));
        let candidates = self.notes.candidates.get(frame.candidates.clone()).unwrap_or_default();
        let mut gone: Vec<_> = candidates.iter().filter(|candidate| self.live(candidate.op)).collect();
        gone.dedup_by_key(|candidate| candidate.index);

        if gone.len() == frame.count {
            let inside = (frame.open.saturating_add(1), frame.close);
            if made.is_empty() {
                if frame.count > 0 {
                    pieces.push(Piece { span: inside, content: Content::Nothing });
                }
            } else {
                let span = if frame.count == 0 { inside } else { (frame.first, frame.last_end) };
                pieces.push(Piece { span, content: Content::Made { frame, made, after_others: false } });
            }
            return;
        }
        let leading = gone.iter().enumerate().take_while(|(at, gone)| gone.index == *at).count();
        let (first, others) = gone.split_at_checked(leading).unwrap_or_default();
        if let Some(next) = first.last().and_then(|last| last.next) {
            pieces.push(Piece { span: (frame.first, next), content: Content::Nothing });
        }
        for gone in others {
            pieces.push(Piece { span: (gone.previous, gone.end), content: Content::Nothing });
        }
        if !made.is_empty() {
            let span = (frame.last_end, frame.last_end);
            pieces.push(Piece { span, content: Content::Made { frame, made, after_others: true } });
        }
    }

    fn write(&self, piece: &Piece<'n>, out: &mut Output) -> Result<(), JsonError> {
        match &piece.content {
            Content::Nothing => Ok(()),
            Content::Value(op) => out.put(self.payload(*op).value),
            Content::Name(op) => out.name(self.payload(*op).name),
            Content::Made { frame, made, after_others } => self.made(frame, made, *after_others, out),
        }
    }

    /// Members or elements at the end of a container, in its style: the white space before its last child, and between
    /// that child's name and value.
    fn made(
        &self,
        frame: &FrameEdit,
        made: &[&Creation],
        after_others: bool,
        out: &mut Output,
    ) -> Result<(), JsonError> {
        let any = frame.count > 0;
        let before = self.text.get(..frame.last).unwrap_or_default();
        let plain = before.trim_ascii_end().len();
        let space = before.get(plain..).filter(|_| any).unwrap_or_default();
        let colon = self.text.get(frame.last_name.1..frame.last_value).filter(|_| any).unwrap_or(b":");
        let made: Vec<_> = made.iter().map(|creation| self.chain(creation)).collect();
        if !frame.array {
            return self.members(&made, Style { space, colon, comma_first: after_others }, out);
        }
        let mut first = !after_others;
        for chain in &made {
            if !first {
                out.put(b",")?;
                out.put(space)?;
            }
            first = false;
            let inner = [Chain { op: chain.op, names: chain.names.get(1..).unwrap_or_default(), ..*chain }];
            self.value(&inner, out)?;
        }
        Ok(())
    }

    fn chain(&self, creation: &Creation) -> Chain<'n> {
        let path = self.machines.get(creation.machine).map(|machine| machine.path).unwrap_or_default();
        let names = path.get(creation.segment..).unwrap_or_default();
        Chain { op: creation.op, names, wrapped: !names.is_empty() && self.payload(creation.op).in_array }
    }

    /// Members of one object, each name once: chains that begin with the same name share it.
    fn members(&self, chains: &[Chain<'n>], style: Style<'_>, out: &mut Output) -> Result<(), JsonError> {
        let mut comma = style.comma_first;
        for (at, chain) in chains.iter().enumerate() {
            let Some(name) = chain.name() else { continue };
            if chains.iter().take(at).any(|earlier| earlier.name() == Some(name)) {
                continue;
            }
            if comma {
                out.put(b",")?;
                out.put(style.space)?;
            }
            comma = true;
            out.name(name)?;
            out.put(style.colon)?;
            let same = chains.iter().filter(|chain| chain.name() == Some(name));
            let below: Vec<_> = same
                .map(|chain| Chain { names: chain.names.get(1..).unwrap_or_default(), ..*chain })
                .collect();
            self.value(&below, out)?;
        }
        Ok(())
    }

    /// The value that chains with one common beginning lead to. As deep as a path is long at most.
    fn value(&self, chains: &[Chain<'n>], out: &mut Output) -> Result<(), JsonError> {
        let Some(leaf) = chains.iter().find(|chain| chain.names.is_empty()) else {
            out.put(b"{")?;
            self.members(chains, Style { space: b"", colon: b":", comma_first: false }, out)?;
            return out.put(b"}");
        };
        let value = self.payload(leaf.op).value;
        if leaf.wrapped {
            out.put(b"[")?;
            out.put(value)?;
            return out.put(b"]");
        }
        out.put(value)
    }
}

/// Names still to be made, one in the other, and the edit whose value the last one gets.
#[derive(Clone, Copy)]
struct Chain<'n> {
    op: usize,
    names: &'n [crate::path::Segment],
    wrapped: bool,
}

impl<'n> Chain<'n> {
    fn name(&self) -> Option<&'n str> {
        match self.names.first()?.single()? {
            Selector::Name(name) | Selector::Token { name, .. } => Some(name),
            _ => None,
        }
    }
}

#[derive(Clone, Copy)]
struct Style<'n> {
    space: &'n [u8],
    colon: &'n [u8],
    comma_first: bool,
}

/// The new text, of limited length.
struct Output {
    bytes: Vec<u8>,
    limit: usize,
}

impl Output {
    fn put(&mut self, bytes: &[u8]) -> Result<(), JsonError> {
        if bytes.len() > self.limit.saturating_sub(self.bytes.len()) {
            return Err(JsonError::new(self.bytes.len(), ErrorKind::TooLarge));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn name(&mut self, name: &str) -> Result<(), JsonError> {
        let mut text = Vec::with_capacity(name.len().saturating_add(2));
        string::write(name.as_bytes(), &mut text);
        self.put(&text)
    }
}
