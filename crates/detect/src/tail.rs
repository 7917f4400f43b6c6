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
        Shape::ThreeTwoFour => form(text, b"111-11-1111"),
        Shape::TwoSeven => form(text, b"11-1111111"),
        // A 1 may stand before these two.
        Shape::ThreeThreeFour => form(text, b"111-111-1111").max(form(text, b"1-111-111-1111")),
        Shape::AreaInParentheses => form(text, b"(111)").max(form(text, b"1-(111)")),
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

/// What begins as `form` does, in which 1 is any digit and `-` any separator.
fn form(text: &[u8], form: &[u8]) -> usize {
    let alike = |byte: &u8, form: &u8| match form {
        b'1' => byte.is_ascii_digit(),
        b'-' => matches!(byte, b' ' | b'-' | b'.'),
        _ => byte == form,
    };
    let begins = |length: &usize| {
        let end = text.get(text.len().saturating_sub(*length)..).unwrap_or_default();
        end.len() == *length && end.iter().zip(form).all(|(byte, form)| alike(byte, form))
    };
    (1..=form.len()).rev().find(begins).unwrap_or(0)
}

/// What follows the last `://`, if it may all be a user with a password.
fn user_info(text: &[u8]) -> usize {
    let length = run(text, crate::detectors::USER_INFO, |byte| !crate::detectors::ends_user_info(byte));
    let rest = text.get(..text.len().saturating_sub(length)).unwrap_or_default();
    if rest.ends_with(b"://") { length } else { 0 }
}
