//! Which paths can never get in each other's way, known from the paths alone.
//!
//! Two edits can be done in one scan if the second would see and do the same had the first not been there. That holds
//! if no place that the first writes is, holds, or lies in a place that the second reads or writes. The answer errs on
//! the safe side: a wrong "interferes" costs a second scan, nothing else.

use super::{Element, Segment, Selector};

/// A set of places that an edit reads or writes, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach<'p> {
    pub path: &'p [Segment],
    /// Stands in for the last segment: the new name of a renamed member.
    pub renamed: Option<&'p str>,
    /// Whether the places are changed.
    pub writes: bool,
    /// Whether what is missing on the way to them is made.
    pub creates: bool,
    /// Whether elements go: those after them get other indexes.
    pub removes: bool,
}

/// Whether an edit that reaches `later` could see what an edit before it did in `earlier`.
pub(crate) fn interferes(earlier: &Reach<'_>, later: &Reach<'_>) -> bool {
    earlier.writes
        && (meet(earlier, later)
            || earlier.creates && later.creates && sees_created(earlier.path, later.path))
}

/// Whether a place of one can be, hold or lie in a place of the other.
fn meet(earlier: &Reach<'_>, later: &Reach<'_>) -> bool {
    let mut pairs = Pairs::new(earlier.path.len(), later.path.len());
    while let Some((i, j)) = pairs.next() {
        let (Some(a), Some(b)) = (earlier.path.get(i), later.path.get(j)) else { return true };
        let last = i.saturating_add(1) == earlier.path.len();
        let a_name = earlier.renamed.filter(|_| last);
        let b_name = later.renamed.filter(|_| j.saturating_add(1) == later.path.len());
        let moves_elements =
            earlier.removes && last || earlier.creates && a.selectors.iter().any(is_after_last);
        if moves_elements && a.selectors.iter().any(in_array) && b.selectors.iter().any(in_array) {
            return true;
        }
        pairs.descend(a, b, i, j, share(a, a_name, b, b_name));
    }
    false
}

/// Whether what is missing on the way of `earlier` and would be made is a place in which `later` would make something,
/// and would not if it were missing.
fn sees_created(earlier: &[Segment], later: &[Segment]) -> bool {
    let (made_from, parents) = (needed(earlier), needed(later));
    if parents == 0 {
        return false;
    }
    let mut pairs = Pairs::new(earlier.len(), parents);
    while let Some((i, j)) = pairs.next() {
        if j == parents && i > made_from {
            return true;
        }
        if let (Some(a), Some(b)) = (earlier.get(i), later.get(j).filter(|_| j < parents)) {
            pairs.descend(a, b, i, j, share(a, None, b, None));
        }
    }
    false
}

/// How many segments must lead somewhere before anything can be made.
fn needed(path: &[Segment]) -> usize {
    let index = path.iter().rposition(|segment| segment.single().is_some_and(in_array)).unwrap_or_default();
    tail(path).max(index)
}

/// Where the names at the end of a path begin: what is behind that can be made where it is missing.
pub(crate) fn tail(path: &[Segment]) -> usize {
    path.iter().rposition(|segment| segment.creatable().is_none()).map_or(0, |at| at.saturating_add(1))
}

/// Pairs of segments that are yet to be compared, each once.
struct Pairs {
    open: Vec<(usize, usize)>,
    seen: Vec<bool>,
    width: usize,
}

impl Pairs {
    fn new(a: usize, b: usize) -> Self {
        let (height, width) = (a.saturating_add(1), b.saturating_add(1));
        Self { open: vec![(0, 0)], seen: vec![false; height.saturating_mul(width)], width }
    }

    fn next(&mut self) -> Option<(usize, usize)> {
        self.open.pop()
    }

    fn push(&mut self, i: usize, j: usize) {
        let at = i.saturating_mul(self.width).saturating_add(j);
        if let Some(seen) = self.seen.get_mut(at)
            && !*seen
        {
            *seen = true;
            self.open.push((i, j));
        }
    }

    /// The pairs that one step down may lead to: both take their segment, or one stays because it selects descendants.
    fn descend(&mut self, a: &Segment, b: &Segment, i: usize, j: usize, share: bool) {
        let (next_i, next_j) = (i.saturating_add(1), j.saturating_add(1));
        if share {
            self.push(next_i, next_j);
        }
        if a.descendant {
            self.push(i, next_j);
        }
        if b.descendant {
            self.push(next_i, j);
        }
    }
}

/// Whether one child may be selected by both.
fn share(a: &Segment, a_name: Option<&str>, b: &Segment, b_name: Option<&str>) -> bool {
    match (a_name, b_name) {
        (Some(a), Some(b)) => a == b,
        (Some(name), None) => b.selects_member(name.as_bytes(), false),
        (None, Some(name)) => a.selects_member(name.as_bytes(), false),
        (None, None) => a.selectors.iter().any(|a| b.selectors.iter().any(|b| may_share(a, b))),
    }
}

fn may_share(a: &Selector, b: &Selector) -> bool {
    match (a, b) {
        (Selector::Wildcard, _) | (_, Selector::Wildcard) => true,
        (
            Selector::Name(a) | Selector::Token { name: a, .. },
            Selector::Name(b) | Selector::Token { name: b, .. },
        ) => a == b,
        (Selector::Name(_), _) | (_, Selector::Name(_)) => false,
        (Selector::Token { element, .. }, other) | (other, Selector::Token { element, .. }) => {
            match element {
                Element::At(index) => other.needs_len() || other.selects_element(*index, None),
                Element::None | Element::AfterLast => false,
            }
        }
        (Selector::Index(a), Selector::Index(b)) if (*a < 0) == (*b < 0) => a == b,
        _ => true,
    }
}

fn in_array(selector: &Selector) -> bool {
    selector.leads_into(true)
}

fn is_after_last(selector: &Selector) -> bool {
    matches!(selector, Selector::Token { element: Element::AfterLast, .. })
}
