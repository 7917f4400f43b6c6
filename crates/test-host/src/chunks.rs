//! The same body, cut in every way.

use crate::message::{Fields, Message};
use crate::outcome::{Client, Outcome};
use crate::random::Random;

/// How a body arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunking {
    /// Where it is cut: offsets in ascending order. One that is there twice makes an empty chunk.
    pub cuts: Vec<usize>,
    /// What tells that it has ended.
    pub ending: Ending,
}

/// What tells that a body has ended. Trailers that the message has of its own always do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The last chunk; without a body the head.
    LastChunk,
    /// An empty chunk behind the last.
    EmptyChunk,
    /// Trailers, made up for the purpose.
    Trailers,
}

impl Chunking {
    /// In one chunk, or with the head if there is no body.
    pub const WHOLE: Self = Self { cuts: Vec::new(), ending: Ending::LastChunk };

    /// Cut at these offsets, in ascending order.
    pub fn at(cuts: impl Into<Vec<usize>>) -> Self {
        Self { cuts: cuts.into(), ending: Ending::LastChunk }
    }

    /// Byte by byte.
    pub fn bytes(body: &[u8]) -> Self {
        Self::at((1..body.len()).collect::<Vec<_>>())
    }

    /// With another ending.
    #[must_use]
    pub fn ending(self, ending: Ending) -> Self {
        Self { ending, ..self }
    }

    /// The chunks. There is none if the body is empty and not cut.
    pub(crate) fn chunks<'a>(&self, body: &'a [u8]) -> Vec<&'a [u8]> {
        if body.is_empty() && self.cuts.is_empty() {
            return Vec::new();
        }
        let cuts = self.cuts.iter().map(|&cut| cut.min(body.len()));
        let starts = std::iter::once(0).chain(cuts.clone());
        let ends = cuts.chain(std::iter::once(body.len()));
        starts.zip(ends).map(|(start, end)| &body[start..end]).collect()
    }

    /// The trailers that [`Ending::Trailers`] makes up.
    pub(crate) fn trailers() -> Fields {
        [("x-end", "trailers")].into_iter().collect()
    }
}

/// How many points of a body are cut alone, at most.
const SINGLE_CUTS: usize = 512;
/// How many times a body is cut at several random points.
const RANDOM_CUTS: usize = 64;

/// Runs the same exchange with a body cut in many ways: whole, byte by byte, at every single point, and at random points
/// with empty chunks among them; each with every [`Ending`]. Returns what came out of all of them.
///
/// # Panics
/// Two ways lead to different outcomes. Trailers that an ending made up are no difference.
pub fn chunkings(body: &[u8], mut run: impl FnMut(&Chunking) -> Outcome) -> Outcome {
    let mut first: Option<(Chunking, Outcome)> = None;
    for cuts in all_cuts(body) {
        for ending in [Ending::LastChunk, Ending::EmptyChunk, Ending::Trailers] {
            let chunking = Chunking { cuts: cuts.clone(), ending };
            let outcome = without_made_up_trailers(run(&chunking));
            match &first {
                None => first = Some((chunking, outcome)),
                Some((as_first, expected)) => {
                    assert_eq!(
                        expected,
                        &outcome,
                        "left: {as_first:?}, right: {chunking:?}{}",
                        first_difference(expected, &outcome)
                    );
                }
            }
        }
    }
    first.expect("there is always one way").1
}

fn all_cuts(body: &[u8]) -> Vec<Vec<usize>> {
    if body.is_empty() {
        return vec![vec![0], vec![0, 0]];
    }
    let mut random = Random::new(body.len() as u64);
    let mut all = vec![vec![]];
    if body.len() <= 4 * SINGLE_CUTS {
        all.push((1..body.len()).collect());
    }
    if body.len() <= SINGLE_CUTS {
        all.extend((0..=body.len()).map(|cut| vec![cut]));
    } else {
        all.extend((0..SINGLE_CUTS).map(|_| vec![random.up_to(body.len())]));
    }
    for _ in 0..RANDOM_CUTS {
        let mut cuts: Vec<usize> = (0..=random.up_to(8)).map(|_| random.up_to(body.len())).collect();
        if random.up_to(1) == 0 {
            cuts.push(cuts[0]);
        }
        cuts.sort_unstable();
        all.push(cuts);
    }
    all
}

fn without_made_up_trailers(mut outcome: Outcome) -> Outcome {
    let strip = |message: &mut Message| {
        message.trailers.take_if(|trailers| *trailers == Chunking::trailers());
    };
    if let Some(message) = &mut outcome.upstream {
        strip(message);
    }
    if let Client::Answer(message) = &mut outcome.client {
        strip(message);
    }
    outcome
}

/// Where two bodies begin to differ: what is printed of long ones does not show it.
fn first_difference(left: &Outcome, right: &Outcome) -> String {
    let bodies = |outcome: &Outcome| {
        let upstream = outcome.upstream.as_ref().map_or(vec![], |message| message.body.clone());
        let client = match &outcome.client {
            Client::Answer(message) => message.body.clone(),
            Client::Nothing | Client::Reset => vec![],
        };
        [("upstream's", upstream), ("client's", client)]
    };
    let mut text = String::new();
    for ((who, left), (_, right)) in bodies(left).into_iter().zip(bodies(right)) {
        if left != right {
            let at = left.iter().zip(&right).take_while(|(left, right)| left == right).count();
            let from = |body: &[u8]| {
                let part: Vec<u8> = body.iter().skip(at.saturating_sub(20)).take(60).copied().collect();
                String::from_utf8_lossy(&part).into_owned()
            };
            text +=
                &format!("; the {who} bodies differ from byte {at}: {:?}, {:?}", from(&left), from(&right));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn cuts_make_chunks_and_lose_nothing() {
        assert_eq!(Chunking::WHOLE.chunks(b""), Vec::<&[u8]>::new());
        assert_eq!(Chunking::WHOLE.chunks(b"abc"), [b"abc"]);
        assert_eq!(Chunking::at([0]).chunks(b""), [b"", b""]);
        assert_eq!(Chunking::at([0, 2, 2, 9]).chunks(b"abc"), [b"".as_slice(), b"ab", b"", b"c", b""]);
        assert_eq!(Chunking::bytes(b"abc").chunks(b"abc"), [b"a", b"b", b"c"]);
        for cuts in all_cuts(b"some body") {
            assert_eq!(Chunking::at(cuts).chunks(b"some body").concat(), b"some body");
        }
    }
}
