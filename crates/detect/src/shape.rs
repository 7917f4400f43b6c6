//! Stage one for values without a literal: places where one of some shape may begin.
//!
//! A block of 64 bytes becomes a bit mask for each class of characters. `digit & digit >> 1 & digit >> 2` has a bit wherever
//! three digits begin, so a shape is a handful of operations for 64 bytes at once, and a text without candidates costs
//! nothing more.

use wide::u8x16;

/// What a value begins with, or has in it. One with a *word start* does not begin in the middle of letters, digits and `_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Word start, four digits: `4111`.
    FourDigits,
    /// Word start, nine digits and no more: `123456789`.
    NineDigits,
    /// Word start, ten digits or eleven: `4155552671`.
    TenDigits,
    /// Word start, digits as `123-45-6789`, with any separators.
    ThreeTwoFour,
    /// Word start, digits as `12-3456789`.
    TwoSeven,
    /// Word start, digits as `415-555-2671`, with any separators.
    ThreeThreeFour,
    /// `(415)`.
    AreaInParentheses,
    /// `+1`.
    Plus,
    /// Word start, `DE89`, in upper or lower case.
    TwoLettersTwoDigits,
    /// The first dot of `8.8.8.8`.
    Dotted,
    /// The first colon of `2001:db8::1`, or one soon after it.
    Colons,
    /// `%B4111` or `;4111`.
    Track,
    /// The `@` of `user@host`.
    At,
    /// The `@` of `scheme://user:password@host`.
    UserInfo,
}

/// How many bytes a block has.
pub(crate) const BLOCK: usize = 64;

/// The classes of the bytes of one block: bit `n` for byte `n`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Classes {
    digit: u64,
    letter: u64,
    word: u64,
    at: u64,
    dot: u64,
    colon: u64,
    plus: u64,
    open: u64,
    close: u64,
    semicolon: u64,
    percent: u64,
    b: u64,
    /// Space, hyphen or dot.
    separator: u64,
}

impl Classes {
    pub fn new(block: &[u8; BLOCK]) -> Self {
        let lanes = lanes(block);
        let is = |byte: u8| {
            let byte = u8x16::splat(byte);
            mask(&lanes, |lane| lane.simd_eq(byte))
        };
        let digit = mask(&lanes, |lane| {
            // Exactly the digits are 0 to 9 with the bits of `0` flipped.
            let value = lane ^ u8x16::splat(b'0');
            value.min(u8x16::splat(9)).simd_eq(value)
        });
        let letter = mask(&lanes, |lane| {
            let lower = lane | u8x16::splat(0x20);
            lower.max(u8x16::splat(b'a')).min(u8x16::splat(b'z')).simd_eq(lower)
        });
        let dot = is(b'.');
        Self {
            digit,
            letter,
            word: digit | letter | is(b'_'),
            at: is(b'@'),
            dot,
            colon: is(b':'),
            plus: is(b'+'),
            open: is(b'('),
            close: is(b')'),
            semicolon: is(b';'),
            percent: is(b'%'),
            b: is(b'B'),
            separator: dot | is(b' ') | is(b'-'),
        }
    }
}

/// A block with what is before and after it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Around {
    /// Whether the byte before the block is of a word, and a digit.
    word_before: bool,
    digit_before: bool,
    block: Classes,
    next: Classes,
}

impl Around {
    /// The block after this one, with the one after that.
    pub fn step(self, next: Classes) -> Self {
        let last = |mask: u64| mask >> (BLOCK - 1) == 1;
        Self {
            word_before: last(self.block.word),
            digit_before: last(self.block.digit),
            block: self.next,
            next,
        }
    }

    /// The places in the block where `shape` begins.
    pub fn places(&self, shape: Shape) -> u64 {
        let digits = |from: u32, count: u32| self.run(from, count, |classes| classes.digit);
        let separator = |by: u32| self.ahead(by, |classes| classes.separator);
        let word = |by: u32| self.ahead(by, |classes| classes.word);
        let block = &self.block;
        match shape {
            Shape::FourDigits => self.word_start() & digits(0, 4),
            Shape::NineDigits => self.word_start() & digits(0, 9) & !word(9),
            Shape::TenDigits => self.word_start() & digits(0, 10) & !(word(10) & word(11)),
            Shape::ThreeTwoFour => {
                self.word_start()
                    & digits(0, 3)
                    & separator(3)
                    & digits(4, 2)
                    & separator(6)
                    & digits(7, 4)
                    & !word(11)
            }
            Shape::TwoSeven => self.word_start() & digits(0, 2) & separator(2) & digits(3, 7) & !word(10),
            Shape::ThreeThreeFour => {
                self.word_start()
                    & digits(0, 3)
                    & separator(3)
                    & digits(4, 3)
                    & separator(7)
                    & digits(8, 4)
                    & !self.ahead(12, |classes| classes.digit)
            }
            Shape::AreaInParentheses => block.open & digits(1, 3) & self.ahead(4, |classes| classes.close),
            Shape::Plus => block.plus & digits(1, 1),
            Shape::TwoLettersTwoDigits => {
                self.word_start() & block.letter & self.ahead(1, |classes| classes.letter) & digits(2, 2)
            }
            Shape::Dotted => {
                let after_digit = block.digit << 1 | u64::from(self.digit_before);
                let dots = block.dot & after_digit & digits(1, 1);
                dots & self.soon(2..5, |classes| classes.dot)
            }
            Shape::Colons => {
                let colon = |classes: &Classes| classes.colon;
                let double = self.ahead(1, colon);
                let after_word = block.word << 1 | u64::from(self.word_before);
                let chain = after_word & self.soon(2..6, colon);
                block.colon & (double | chain)
            }
            Shape::Track => {
                block.semicolon & digits(1, 4)
                    | block.percent & self.ahead(1, |classes| classes.b) & digits(2, 4)
            }
            Shape::At | Shape::UserInfo => block.at,
        }
    }

    fn word_start(&self) -> u64 {
        !(self.block.word << 1 | u64::from(self.word_before))
    }

    /// The places with a byte of `class` at distance `by`.
    fn ahead(&self, by: u32, class: impl Fn(&Classes) -> u64) -> u64 {
        let (low, high) = (class(&self.block), class(&self.next));
        let both = u128::from(high) << BLOCK | u128::from(low);
        u64::try_from(both.unbounded_shr(by) & u128::from(u64::MAX)).unwrap_or_default()
    }

    /// The places with `count` bytes of `class` from distance `from` on.
    fn run(&self, from: u32, count: u32, class: impl Fn(&Classes) -> u64) -> u64 {
        (from..from.saturating_add(count)).fold(u64::MAX, |all, by| all & self.ahead(by, &class))
    }

    /// The places with a byte of `class` at one of the distances.
    fn soon(&self, distances: std::ops::Range<u32>, class: impl Fn(&Classes) -> u64) -> u64 {
        distances.fold(0, |any, by| any | self.ahead(by, &class))
    }
}

fn lanes(block: &[u8; BLOCK]) -> [u8x16; 4] {
    let (lanes, _) = block.as_chunks::<16>();
    let lane = |index: usize| u8x16::new(lanes.get(index).copied().unwrap_or_default());
    [lane(0), lane(1), lane(2), lane(3)]
}

fn mask(lanes: &[u8x16; 4], class: impl Fn(u8x16) -> u8x16) -> u64 {
    let [a, b, c, d] = lanes.map(|lane| u64::from(class(lane).to_bitmask()));
    a | b << 16 | c << 32 | d << 48
}
