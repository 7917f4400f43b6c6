//! The middle and the spread of a few figures.

use serde::Serialize;

/// Median and quartiles: a round that something else disturbed moves none of them far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub q1: f64,
    pub median: f64,
    pub q3: f64,
}

impl Spread {
    /// Of at least one figure.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<_> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let at = |part| quantile(&figures, part);
        Self { q1: at(0.25), median: at(0.5), q3: at(0.75) }
    }

    /// All of it so much lower.
    pub fn less(self, by: f64) -> Self {
        Self { q1: self.q1 - by, median: self.median - by, q3: self.q3 - by }
    }
}

/// Of sorted figures; between two of them on the line that joins them.
fn quantile(figures: &[f64], part: f64) -> f64 {
    let place = part * (figures.len() - 1) as f64;
    let (low, high) = (figures[place.floor() as usize], figures[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_figures() {
        assert_eq!(Spread::of([5.0]), Spread { q1: 5.0, median: 5.0, q3: 5.0 });
        assert_eq!(Spread::of([4.0, 1.0, 3.0, 2.0, 5.0]), Spread { q1: 2.0, median: 3.0, q3: 4.0 });
        assert_eq!(Spread::of([4.0, 1.0, 3.0, 2.0]), Spread { q1: 1.75, median: 2.5, q3: 3.25 });
    }
}
