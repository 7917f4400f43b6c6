//! Payment card numbers: ranges of the brands, lengths, groupings, Luhn (ISO/IEC 7812-1).

use super::Detector;
use crate::context::{Context, NUMBERS};
use crate::shape::Shape;
use crate::text::{Cut, Match, Text, Verdict, is_word};

pub(super) const CARD: Detector = Detector {
    name: "payment.card",
    description: "payment card number of any brand: range, length and Luhn",
    confidence: (25, 99),
    rank: 50,
    shapes: &[Shape::FourDigits],
    literals: &[],
    context: Context {
        raise: &[
            "amex",
            "card",
            "cardno",
            "cardnum",
            "cardnumber",
            "cards",
            "cc",
            "ccno",
            "ccnum",
            "ccnumber",
            "credit",
            "creditcard",
            "debit",
            "mastercard",
            "pan",
            "payment",
            "visa",
        ],
        lower: NUMBERS,
    },
    named: None,
    verify,
};

/// The longest number.
const MOST: usize = 19;

/// A range of first digits (padded to six) and what is issued in it.
struct Brand {
    first: u32,
    last: u32,
    /// Bit `n`: numbers of `n` digits.
    lengths: u32,
    /// How much a number without separators says by itself: the usual length of a big brand more than what is rare and broad.
    bare: u8,
}

const fn brand(first: u32, last: u32, lengths: u32, bare: u8) -> Brand {
    Brand { first, last, lengths, bare }
}

const L14: u32 = 1 << 14;
const L15: u32 = 1 << 15;
const L16: u32 = 1 << 16;
const FROM_16: u32 = L16 | 1 << 17 | 1 << 18 | 1 << 19;
const FROM_12: u32 = FROM_16 | 1 << 12 | 1 << 13 | L14 | L15;

/// The first that has the number's first digits and length counts. Ranges and lengths are those that tables of issuer
/// identification numbers have, such as the one in Wikipedia's "Payment card number". Those of one country alone are RuPay (India),
/// UzCard and Humo (Uzbekistan), NAPAS (Vietnam), mada (Saudi Arabia), Belkart (Belarus), ArCa (Armenia), Elcard (Kyrgyzstan),
/// DinaCard (Serbia) and Prostir (Ukraine); the networks' own documents were not at hand. All are narrow, because Luhn alone lets one number
/// in ten pass; a range as broad as a first digit needs the name of a card beside it.
const BRANDS: &[Brand] = &[
    brand(400_000, 499_999, L16, 60),               // Visa
    brand(400_000, 499_999, 1 << 13 | 1 << 19, 40), // Visa, rare lengths
    brand(510_000, 559_999, L16, 60),               // Mastercard
    brand(222_100, 272_099, L16, 60),               // Mastercard, 2-series
    brand(340_000, 349_999, L15, 60),               // American Express
    brand(370_000, 379_999, L15, 60),               // American Express
    brand(601_100, 601_199, FROM_16, 60),           // Discover
    brand(644_000, 659_999, FROM_16, 60),           // Discover, RuPay, Troy
    brand(622_126, 622_925, FROM_16, 60),           // Discover, UnionPay
    brand(352_800, 358_999, FROM_16, 55),           // JCB
    brand(213_100, 213_199, L15, 50),               // JCB, old
    brand(180_000, 180_099, L15, 50),               // JCB, old
    brand(300_000, 305_999, L14 | FROM_16, 55),     // Diners Club
    brand(309_500, 309_599, L14 | FROM_16, 55),     // Diners Club
    brand(360_000, 369_999, L14 | FROM_16, 50),     // Diners Club
    brand(380_000, 399_999, L14 | FROM_16, 50),     // Diners Club
    brand(620_000, 629_999, FROM_16, 55),           // UnionPay
    brand(810_000, 817_199, FROM_16, 50),           // UnionPay, RuPay
    brand(817_200, 829_999, L16, 50),               // RuPay
    brand(508_500, 508_999, L16, 50),               // RuPay
    brand(220_000, 220_499, FROM_16, 55),           // Mir
    brand(220_500, 220_599, L16, 50),               // Borica
    brand(979_200, 979_299, L16, 50),               // Troy
    brand(860_000, 860_099, L16, 50),               // UzCard
    brand(561_400, 561_499, L16, 50),               // UzCard
    brand(986_000, 986_099, L16, 50),               // Humo
    brand(970_400, 970_499, L16 | 1 << 19, 50),     // NAPAS
    brand(968_201, 968_211, L16, 50),               // mada
    brand(911_200, 911_299, L16, 50),               // Belkart
    brand(905_100, 905_199, L16, 50),               // ArCa
    brand(941_700, 941_799, L16, 50),               // Elcard
    brand(989_100, 989_199, L16, 50),               // DinaCard
    brand(980_400, 980_499, FROM_16, 50),           // Prostir
    brand(194_600, 194_699, L16, 50),               // GPN
    brand(310_000, 319_999, 1 << 19, 35),           // T-Union
    brand(100_000, 199_999, L15, 35),               // UATP
    brand(501_900, 501_999, L16, 50),               // Dankort
    brand(500_000, 509_999, FROM_12, 35),           // Maestro, Elo, Verve
    brand(560_000, 699_999, FROM_12, 35),           // Maestro, Elo, Hipercard
];

/// The digits at a place, in groups.
struct Number {
    digits: [u8; MOST],
    count: usize,
    groups: [Group; 6],
    grouped: usize,
    /// What is between the groups, or its last byte.
    separator: Option<u8>,
}

/// All digits up to the end of a group.
#[derive(Clone, Copy, Default)]
struct Group {
    count: usize,
    end: usize,
    /// Whether the last one is their check digit (Luhn, ISO/IEC 7812-1).
    sound: bool,
}

fn verify(text: &Text<'_>, start: usize) -> Verdict {
    Verdict::of(start, number(text, start))
}

fn number(text: &Text<'_>, start: usize) -> Result<Option<Match>, Cut> {
    // Most candidates end here: a year, a part of a UUID, a time stamp.
    let rest = text.bytes.get(start..).unwrap_or_default();
    match rest.first_chunk::<4>() {
        Some([b'2'..=b'6', ..] | [b'8', b'1' | b'2', ..]) => {}
        Some([b'1', ..]) if may_have_15(rest) => {}
        Some(
            b"8600" | b"9051" | b"9112" | b"9417" | b"9682" | b"9704" | b"9792" | b"9804" | b"9860" | b"9891",
        ) => {}
        None if !text.end => return Err(Cut),
        _ => return Ok(None),
    }
    let number = read(text, start)?;
    let groups = number.groups.get(..number.grouped).unwrap_or_default();
    // From the longest on: what looks like the next group may be one.
    for (index, group) in groups.iter().enumerate().rev() {
        if group.count < 12 || !group.sound || !usual(groups, index) {
            continue;
        }
        // A decimal number has one point.
        if index == 1 && number.separator == Some(b'.') {
            continue;
        }
        let digits = number.digits.get(..group.count).unwrap_or_default();
        let Some(brand) = brand_of(digits) else { continue };
        if follows_fraction(text, start) || !ends(text, group.end, index == 0)? {
            continue;
        }
        // The usual groups speak for a card, but not where more digits are in front of them.
        let grouped = index > 0 && !follows_group(text, start);
        let confidence = brand.bare.saturating_add(if grouped { 30 } else { 0 });
        return Ok(Some(Match { sample: is_sample(digits), ..Match::new(start..group.end, confidence) }));
    }
    Ok(None)
}

/// Whether these may be 15 or 16 digits, or begin with a group: all that begins with 1. A time stamp does, too.
fn may_have_15(rest: &[u8]) -> bool {
    let is_digit = |place: usize| rest.get(place).map(u8::is_ascii_digit);
    is_digit(4) == Some(false) || (is_digit(14) != Some(false) && is_digit(16) != Some(true))
}

/// Reads digits in groups with the same separator between them, at most as many as a card has.
fn read(text: &Text<'_>, start: usize) -> Result<Number, Cut> {
    let mut number =
        Number { digits: [0; MOST], count: 0, groups: [Group::default(); 6], grouped: 0, separator: None };
    let mut sums = Sums::default();
    let mut rest = text.bytes.get(start..).unwrap_or_default();
    let mut end = start;
    loop {
        let before = number.count;
        while let [digit @ b'0'..=b'9', after @ ..] = rest {
            // Too many for a card.
            let Some(place) = number.digits.get_mut(number.count) else { return Ok(number) };
            *place = digit & 0x0f;
            sums.add(*place);
            number.count = number.count.saturating_add(1);
            rest = after;
        }
        end = end.saturating_add(number.count.saturating_sub(before));
        if rest.is_empty() && !text.end {
            return Err(Cut);
        }
        let Some(group) = number.groups.get_mut(number.grouped) else { return Ok(number) };
        *group = Group { count: number.count, end, sound: sums.is_sound() };
        number.grouped = number.grouped.saturating_add(1);
        if number.count >= MOST || (number.grouped == 1 && !matches!(number.count, 4 | 6 | 8)) {
            return Ok(number);
        }
        let (found, length, after) = match rest {
            [found @ (b' ' | b'-' | b'.'), after @ ..] => (*found, 1, after),
            [0xc2, found @ 0xa0, after @ ..] => (*found, 2, after),
            [0xc2] if !text.end => return Err(Cut),
            _ => return Ok(number),
        };
        match after.first() {
            Some(b'0'..=b'9') if *number.separator.get_or_insert(found) == found => rest = after,
            None if !text.end => return Err(Cut),
            _ => return Ok(number),
        }
        end = end.saturating_add(length);
    }
}

/// The sum of Luhn, as digits come: one with every second digit doubled from the first on, one from the second.
#[derive(Default)]
struct Sums {
    this: u32,
    other: u32,
}

impl Sums {
    fn add(&mut self, digit: u8) {
        /// Twice a digit, and the sum of its digits.
        const DOUBLED: [u8; 10] = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9];
        let doubled = DOUBLED.get(usize::from(digit)).copied().unwrap_or_default();
        // The last digit is never doubled: which sum that is changes with each.
        let last = self.other.wrapping_add(u32::from(digit));
        self.other = self.this.wrapping_add(u32::from(doubled));
        self.this = last;
    }

    fn is_sound(&self) -> bool {
        self.this.is_multiple_of(10)
    }
}

/// Whether cards are written with these groups, up to the one at `last`: all at once, in fours, or as the brands print them.
fn usual(groups: &[Group], last: usize) -> bool {
    let mut before = 0;
    let mut sizes = [0_usize; 6];
    for (group, size) in groups.iter().take(last.saturating_add(1)).zip(&mut sizes) {
        *size = group.count.saturating_sub(before);
        before = group.count;
    }
    matches!(
        sizes,
        [_, 0, ..]
            | [4, 6, 4 | 5, 0, ..]
            | [4, 5, 6, 0, ..]
            | [6, 13, 0, ..]
            | [8, 8, 0, ..]
            | [4, 4, 4 | 5, 0, ..]
            | [4, 4, 4, 1..=4, 0, 0]
            | [4, 4, 4, 4, 1..=4, 0]
    )
}

/// Whether a number may end here: no digit or letter follows; and to a bare one, no fraction but one of zeros.
fn ends(text: &Text<'_>, end: usize, bare: bool) -> Result<bool, Cut> {
    if bare {
        let zeros = behind_zeros(text, end)?;
        return Ok(ends_bare(text, end)? || (zeros > end && ends_bare(text, zeros)?));
    }
    Ok(!text.at(end)?.is_some_and(is_word))
}

fn ends_bare(text: &Text<'_>, end: usize) -> Result<bool, Cut> {
    let after = end.saturating_add(1);
    Ok(match text.at(end)? {
        Some(b'.') if matches!(text.at(after)?, Some(b'0'..=b'9')) => {
            text.run(after, 12, |byte| byte.is_ascii_digit())? == after.saturating_add(12)
        }
        Some(byte) => !is_word(byte),
        None => true,
    })
}

/// Behind what some write to whole numbers, and what changes nothing in them: `.0`, `e0`, `.00E+00`.
fn behind_zeros(text: &Text<'_>, end: usize) -> Result<usize, Cut> {
    const MOST_ZEROS: usize = 16;
    let zeros = |before: usize, end: usize| {
        let after = text.run(before, MOST_ZEROS, |byte| byte == b'0')?;
        Ok(if after > before { after } else { end })
    };
    let mut end = end;
    if text.at(end)? == Some(b'.') {
        end = zeros(end.saturating_add(1), end)?;
    }
    if matches!(text.at(end)?, Some(b'e' | b'E')) {
        let sign = matches!(text.at(end.saturating_add(1))?, Some(b'+' | b'-'));
        end = zeros(end.saturating_add(1).saturating_add(usize::from(sign)), end)?;
    }
    Ok(end)
}

/// Whether these are the digits after the point of a number such as 0.4111111111111111. Long digits before the point are
/// no such number: they are another card.
fn follows_fraction(text: &Text<'_>, start: usize) -> bool {
    let Some(point) = start.checked_sub(1).filter(|_| text.before(start) == Some(b'.')) else { return false };
    let before = text.bytes.get(..point).unwrap_or_default();
    let digits = before.iter().rev().take(12).take_while(|byte| byte.is_ascii_digit()).count();
    (1..12).contains(&digits)
}

/// Whether a digit and one separator are in front of the number.
fn follows_group(text: &Text<'_>, start: usize) -> bool {
    let before = text.bytes.get(..start).unwrap_or_default();
    matches!(before, [.., b'0'..=b'9', b' ' | b'-' | b'.'] | [.., b'0'..=b'9', 0xc2, 0xa0])
}

fn brand_of(digits: &[u8]) -> Option<&'static Brand> {
    let first = digits
        .first_chunk::<6>()?
        .iter()
        .fold(0, |number: u32, digit| number.saturating_mul(10).saturating_add(u32::from(*digit)));
    let length = 1_u32.unbounded_shl(u32::try_from(digits.len()).ok()?);
    BRANDS.iter().find(|brand| (brand.first..=brand.last).contains(&first) && brand.lengths & length != 0)
}

/// The numbers that payment services publish for tests.
const SAMPLES: &[u64] = &[
    4_111_111_111_111_111,
    4_012_888_888_881_881,
    4_222_222_222_222,
    4_242_424_242_424_242,
    4_000_056_655_665_556,
    4_000_000_000_000_002,
    4_000_000_000_000_077,
    4_005_519_200_000_004,
    4_009_348_888_881_881,
    4_012_000_033_330_026,
    4_012_000_077_777_777,
    4_217_651_111_111_119,
    4_500_600_000_000_061,
    4_917_610_000_000_000,
    5_555_555_555_554_444,
    5_105_105_105_105_100,
    5_200_828_282_828_210,
    5_454_545_454_545_454,
    5_431_111_111_111_111,
    2_223_003_122_003_222,
    2_223_000_048_400_011,
    2_223_520_043_560_014,
    2_222_400_070_000_005,
    378_282_246_310_005,
    371_449_635_398_431,
    378_734_493_671_000,
    340_000_000_000_009,
    370_000_000_000_002,
    6_011_111_111_111_117,
    6_011_000_990_139_424,
    6_011_000_400_000_000,
    6_011_981_111_111_113,
    3_530_111_333_300_000,
    3_566_002_020_360_505,
    3_566_111_111_111_113,
    30_569_309_025_904,
    38_520_000_023_237,
    36_227_206_271_667,
    36_700_102_000_000,
    6_200_000_000_000_005,
    6_205_500_000_000_000_004,
    6_304_000_000_000_000,
    6_759_649_826_438_453,
    5_019_717_010_103_742,
    6_799_990_100_000_000_019,
];

fn is_sample(digits: &[u8]) -> bool {
    let number = digits
        .iter()
        .fold(0_u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(*digit)));
    SAMPLES.contains(&number)
}

/// Whether a row of digits is a card number.
pub(super) fn is_number(text: &[u8]) -> bool {
    let mut sums = Sums::default();
    let mut digits = [0; MOST];
    let Some(digits) = digits.get_mut(..text.len()) else { return false };
    for (place, digit) in digits.iter_mut().zip(text) {
        *place = digit & 0x0f;
        sums.add(*place);
    }
    brand_of(digits).is_some() && sums.is_sound()
}
