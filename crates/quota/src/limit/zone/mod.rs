//! Time zones of the IANA database, as far as windows of a calendar need them: from 2025 on.
//!
//! `zones.txt` has for each name the rule that its zone keeps to for the time to come, as a POSIX TZ string would say it, and
//! before it the offsets of those years that are not by the rule (Morocco, where it follows the moon). A date library with
//! the whole database (`jiff`) adds 365 KB to a module, its reader of POSIX TZ strings alone 100 KB; this adds 16. A change
//! in the database comes with a new release, as it would with a library that has it compiled in: a proxy's sandbox has no
//! other.
//!
//! A line has names, `|` and offsets from UTC in seconds: each with `<` and the moment where it ends, in seconds since the
//! epoch; last the one that stays, or that of winter, that of summer, and when summer begins and ends each year, as
//! `month.week.weekday/second` (week 5 is the last, weekday 0 a Sunday, the second is of the clock until then).
//!
//! A test writes the file: `UPDATE_ZONES=1 cargo test -p meshgate-quota zone`.

use super::calendar::{DAY, day_of, year_of};

#[cfg(test)]
mod tests;

const ZONES: &str = include_str!("zones.txt");

/// A time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Offsets from UTC, each with the moment where it ends, in order. Seconds.
    past: Box<[(i64, i64)]>,
    /// The offset after that.
    rule: Rule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Always the same.
    Fixed(i64),
    /// One in winter and one in summer.
    Seasons { winter: i64, summer: i64, begins: Change, ends: Change },
}

/// When the offset changes, each year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    /// 1 to 12.
    month: i64,
    /// 1 to 5, where 5 is the last.
    week: i64,
    /// 0 to 6, from Sunday.
    weekday: i64,
    /// From midnight on; may be on another day.
    second: i64,
}

impl Zone {
    /// UTC.
    pub fn utc() -> Self {
        Self { past: Box::default(), rule: Rule::Fixed(0) }
    }

    /// The zone of a name of the database, such as `Europe/Berlin`, with its case.
    pub fn find(name: &str) -> Option<Self> {
        let mut lines = ZONES.lines().filter_map(|line| line.split_once(" | "));
        let (_, zone) = lines.find(|(names, _)| names.split(' ').any(|known| known == name))?;
        Self::parse(zone)
    }

    /// The offset from UTC at a moment. Seconds, and seconds since the epoch.
    pub fn offset(&self, moment: i64) -> i64 {
        let past = self.past.iter().find(|(_, end)| moment < *end);
        past.map_or_else(|| self.rule.offset(moment), |(offset, _)| *offset)
    }

    /// When a day begins, counted from the epoch: when clocks first show it. Seconds since the epoch.
    pub fn start_of(&self, day: i64) -> i64 {
        let midnight = day.saturating_mul(DAY);
        let [before, after] = [midnight.saturating_sub(DAY), midnight.saturating_add(DAY)];
        let [old, new] = [before, after].map(|moment| self.offset(moment));
        let [first, second] = [old, new].map(|offset| midnight.saturating_sub(offset));
        if self.offset(first) == old {
            return first;
        }
        if self.offset(second) == new {
            return second;
        }
        // Clocks skip midnight: the day begins with what they show then.
        let (mut early, mut late) = (before, after);
        while late.saturating_sub(early) > 1 {
            let middle = early.midpoint(late);
            if self.offset(middle) == old { early = middle } else { late = middle }
        }
        late
    }

    fn parse(text: &str) -> Option<Self> {
        let mut past = Vec::new();
        let mut rest = text.split(' ').peekable();
        while let Some((offset, end)) = rest.peek().and_then(|part| part.split_once('<')) {
            past.push((offset.parse().ok()?, end.parse().ok()?));
            rest.next();
        }
        let winter = rest.next()?.parse().ok()?;
        let rule = match rest.next() {
            None => Rule::Fixed(winter),
            Some(summer) => Rule::Seasons {
                winter,
                summer: summer.parse().ok()?,
                begins: Change::parse(rest.next()?)?,
                ends: Change::parse(rest.next()?)?,
            },
        };
        Some(Self { past: past.into(), rule })
    }
}

impl Rule {
    fn offset(self, moment: i64) -> i64 {
        match self {
            Self::Fixed(offset) => offset,
            Self::Seasons { winter, summer, begins, ends } => {
                let year = year_of(moment.saturating_add(winter).div_euclid(DAY));
                let begin = begins.in_year(year).saturating_sub(winter);
                let end = ends.in_year(year).saturating_sub(summer);
                // In the south the year begins and ends in summer.
                let is_summer = if begin < end {
                    (begin..end).contains(&moment)
                } else {
                    !(end..begin).contains(&moment)
                };
                if is_summer { summer } else { winter }
            }
        }
    }
}

impl Change {
    /// On the clock of the place. Seconds since the epoch.
    fn in_year(self, year: i64) -> i64 {
        let first = day_of(year, self.month, 1);
        // The epoch was a Thursday.
        let weekday = first.saturating_add(4).rem_euclid(7);
        let ahead = self.weekday.saturating_sub(weekday).rem_euclid(7);
        let weeks = self.week.saturating_sub(1).saturating_mul(7);
        let mut day = first.saturating_add(ahead).saturating_add(weeks);
        // The fifth may be in the next month: then the fourth is the last.
        if day > day_of(year, self.month, 31) {
            day = day.saturating_sub(7);
        }
        day.saturating_mul(DAY).saturating_add(self.second)
    }

    fn parse(text: &str) -> Option<Self> {
        let (day, second) = text.split_once('/')?;
        let mut numbers = day.split('.').map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Self { month: next()?, week: next()?, weekday: next()?, second: second.parse().ok()? })
    }
}
