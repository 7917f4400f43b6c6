//! The children of a container that a path leads into, up to the next one that a path has to do with: where a scan with
//! wildcards or descendants spends its time.

use super::frame::Kind;
use super::walk::{State, Walker};
use super::work::Span;
use crate::error::JsonError;
use crate::scan::Scanner;

/// A child that begins: its name, if it has one, is passed, and its value is next.
#[derive(Clone, Copy)]
pub(super) struct Child<'t> {
    pub start: usize,
    /// The name with its quotes.
    pub name: Span,
    /// The name without its quotes, and whether there are escapes in it.
    pub inside: &'t [u8],
    pub escaped: bool,
    /// Where the value begins.
    pub value: usize,
    /// Whether that is no container.
    pub scalar: bool,
}

impl<'t> Walker<'t, '_> {
    /// From the first byte of a child: passes over the children that no path has to do with. Gives the first that one
    /// has; nothing if there is none, and the container is closed.
    pub(super) fn pass_children(&mut self, array: bool) -> Result<Option<Child<'t>>, JsonError> {
        let depth = self.limits.depth.saturating_sub(self.frames.len().saturating_sub(1));
        let Some(frame) = self.frames.last_mut() else { return Ok(None) };
        let states = self.states.get(frame.states..frame.states_end).unwrap_or_default();
        // What has to go is told where the next child begins, and a `Keep` has to do with each.
        let all_matter = frame.keep.is_some() || self.candidates.len() > frame.candidates;
        loop {
            let child = begin(&mut self.scanner, array)?;
            let matters =
                |state: &State<'_>| if array {
                    state.next.selects_element(frame.count, frame.len)
                } else {
                    state.next.selects_member(child.inside, child.escaped) || state.renames_to(&child)
                } || state.next.descendant && !child.scalar;
            if all_matter || states.iter().any(matters) {
                return Ok(Some(child));
            }
            if child.scalar {
                self.scanner.scalar()?;
            } else {
                self.scanner.value(depth)?;
            }
            if frame.count == 0 {
                frame.first = child.start;
            }
            frame.count = frame.count.wrapping_add(1);
            frame.child = child.start;
            frame.name = child.name;
            frame.value = child.value;
            frame.last_end = self.scanner.at;
            self.scanner.space();
            match (self.scanner.peek(), frame.kind) {
                (Some(b','), _) => {
                    self.scanner.advance();
                    self.scanner.space();
                }
                (Some(b']'), Kind::Array) | (Some(b'}'), Kind::Object) => {
                    self.close()?;
                    return Ok(None);
                }
                _ => return Err(self.scanner.after(array)),
            }
        }
    }
}

#[inline(always)]
fn begin<'t>(scanner: &mut Scanner<'t>, array: bool) -> Result<Child<'t>, JsonError> {
    let start = scanner.at;
    let (mut name, mut inside, mut escaped) = ((start, start), [].as_slice(), false);
    if !array {
        (name, escaped) = scanner.name()?;
        inside = scanner.text.get(start.wrapping_add(1)..name.1.wrapping_sub(1)).unwrap_or_default();
    }
    let scalar = !matches!(scanner.peek(), Some(b'{' | b'['));
    Ok(Child { start, name, inside, escaped, value: scanner.at, scalar })
}
