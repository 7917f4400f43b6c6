//! The end of a window: where a value may have begun that stage one cannot see yet.
//!
//! Whatever stage one sees is the verifiers' to decide. Here is what it knows a shape or a literal by, cut off by the end of the
//! window; this is held back from the client, so it is as short as can be: nothing after a quote, a bracket, or a word and a space.

use crate::shape::Shape;

/// The longest local part of an email address, and a byte more that shows it is too long.
const LOCAL: usize = 65;

/// How long the end of `text` is in which a value with this shape may have begun.
pub(crate) fn of_shape(shape: Shape, text: &[u8]) -> usize {
    match shape {
        Shape::FourDigits => digits(text, 3),
        Shape::NineDigits => digits(text, 8),
        Shape::TenDigits => digits(text, 9),
        Shape::ThreeTwoFour => groups(text, 10),
        Shape::TwoSeven => groups(text, 9),
        // A 1 may stand before these two.
        Shape::ThreeThreeFour => groups(text, 13),
        Shape::AreaInParentheses => groups(text, 6),
        Shape::Plus => run(text, 1, |byte| byte == b'+'),
        Shape::TwoLettersTwoDigits => {
            let word = run(text, 4, crate::text::is_word);
            if word < 4 { word } else { 0 }
        }
        Shape::Dotted => run(text, 8, |byte| byte.is_ascii_digit() || byte == b'.'),
        Shape::Colons => run(text, 16, |byte| byte.is_ascii_hexdigit() || byte == b':'),
        Shape::Track => run(text, 5, |byte| byte.is_ascii_digit() || matches!(byte, b';' | b'%' | b'B')),
        Shape::At => run(text, LOCAL, |byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-')
        }),
        Shape::UserInfo => user_info(text),
    }
}

fn run(text: &[u8], most: usize, class: impl Fn(u8) -> bool) -> usize {
    text.iter().rev().take(most).take_while(|byte| class(**byte)).count()
}

fn digits(text: &[u8], most: usize) -> usize {
    let digits = run(text, most.saturating_add(1), |byte| byte.is_ascii_digit());
    if digits <= most { digits } else { 0 }
}

/// Digits with separators between them, from the first digit or parenthesis on.
fn groups(text: &[u8], most: usize) -> usize {
    let length = run(text, most, |byte| byte.is_ascii_digit() || b" -.()".contains(&byte));
    let end = text.get(text.len().saturating_sub(length)..).unwrap_or_default();
    let before = end.iter().take_while(|byte| !byte.is_ascii_digit() && **byte != b'(').count();
    length.saturating_sub(before)
}

/// What follows the last `://`, if it may all be a user with a password.
fn user_info(text: &[u8]) -> usize {
    let length = run(text, crate::detectors::USER_INFO, |byte| !crate::detectors::ends_user_info(byte));
    let rest = text.get(..text.len().saturating_sub(length)).unwrap_or_default();
    if rest.ends_with(b"://") { length } else { 0 }
}
