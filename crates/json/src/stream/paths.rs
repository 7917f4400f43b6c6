//! The paths that a stream is matched against.

use std::fmt;

use crate::path::{Path, Segment};

/// How many paths one set may have: one bit each.
const MAX_PATHS: usize = 128;

/// Paths that can be matched while a document passes.
#[derive(Clone, Debug, Default)]
pub struct Paths {
    paths: Box<[Path]>,
    /// The bytes of the longest name in them.
    longest: usize,
}

/// Paths that no stream can be matched against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathsError {
    /// This path counts from the end of an array, and a stream does not know where that is.
    FromEnd(Path),
    /// More paths than 128.
    TooMany(usize),
}

impl fmt::Display for PathsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FromEnd(path) => write!(
                f,
                "`{path}` counts from the end of an array, which is not known while a body passes: write indexes \
                 from the front, or `*`"
            ),
            Self::TooMany(count) => write!(f, "{count} JSON paths: expected at most {MAX_PATHS}"),
        }
    }
}

impl std::error::Error for PathsError {}

/// A path, and how much of it the way to the container here has used.
pub(super) type State = (u8, u8);

impl Paths {
    /// Takes a set of paths. A path is known by its position from then on.
    ///
    /// # Errors
    /// A path has a negative index, a slice with a negative number, or there are more than 128.
    pub fn new(paths: impl IntoIterator<Item = Path>) -> Result<Self, PathsError> {
        let paths: Box<[Path]> = paths.into_iter().collect();
        if paths.len() > MAX_PATHS {
            return Err(PathsError::TooMany(paths.len()));
        }
        if let Some(path) = paths.iter().find(|path| path.segments().iter().any(Segment::needs_len)) {
            return Err(PathsError::FromEnd(path.clone()));
        }
        let longest = paths.iter().map(|path| path.as_str().len()).max().unwrap_or_default();
        Ok(Self { paths, longest })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// How many bytes of a name in a text decide whether it is in one of the paths: an escape takes six bytes for one.
    pub(super) fn name_bytes(&self) -> usize {
        self.longest.saturating_mul(6).saturating_add(1)
    }

    /// The states at a document, and the paths that select it.
    pub(super) fn start(&self, states: &mut Vec<State>) -> u128 {
        let mut selected = 0;
        for (at, path) in (0..).zip(&self.paths) {
            self.arrive(at, 0, path.segments(), states, 0, &mut selected);
        }
        selected
    }

    /// Adds the states of a child behind `to`, given those of its container, and returns the paths that select it.
    pub(super) fn descend(
        &self,
        states: &mut Vec<State>,
        from: usize,
        to: usize,
        selects: impl Fn(&Segment) -> bool,
    ) -> u128 {
        let mut selected = 0;
        for at in from..to {
            let Some((path, used)) = states.get(at).copied() else { break };
            let segments = self.paths.get(usize::from(path)).map(Path::segments).unwrap_or_default();
            let Some(segment) = segments.get(usize::from(used)) else { continue };
            if segment.descendant {
                self.arrive(path, used, segments, states, to, &mut selected);
            }
            if selects(segment) {
                self.arrive(path, used.saturating_add(1), segments, states, to, &mut selected);
            }
        }
        selected
    }

    fn arrive(
        &self,
        path: u8,
        used: u8,
        segments: &[Segment],
        states: &mut Vec<State>,
        from: usize,
        selected: &mut u128,
    ) {
        if usize::from(used) >= segments.len() {
            *selected |= 1_u128.checked_shl(u32::from(path)).unwrap_or_default();
        } else if !states.iter().skip(from).any(|state| *state == (path, used)) {
            states.push((path, used));
        }
    }
}
