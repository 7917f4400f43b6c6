//! Passwords in URLs (RFC 3986 section 3.2.1): `scheme://user:password@host`.

use super::Detector;
use crate::context::Context;
use crate::shape::Shape;
use crate::text::{Cut, Match, Text, Verdict};

pub(super) const URL_PASSWORD: Detector = Detector {
    name: "secrets.url",
    description: "password in a URL: scheme://user:password@host",
    confidence: (30, 95),
    rank: 80,
    shapes: &[Shape::UserInfo],
    literals: &[],
    context: Context::NONE,
    named: None,
    verify: |text, at| {
        let Some(start) = password(text, at) else { return Verdict::No };
        Verdict::of(start, verify(text, start, at))
    },
};

/// The longest user and password.
pub(crate) const USER_INFO: usize = 256;

/// What cannot stand in them. Much that should be percent-encoded is seen there.
pub(crate) fn ends_user_info(byte: u8) -> bool {
    matches!(byte, 0..=b' ' | b'"' | b'\'' | b'`' | b'<' | b'>' | b'\\' | b'/' | b'?' | b'#' | 0x7f)
}

/// What stands for a password in documentation and templates.
const PLACEHOLDERS: &[&[u8]] =
    &[b"password", b"pass", b"passwd", b"pwd", b"secret", b"xxx", b"xxxx", b"xxxxx"];

/// Where the password before the `@` begins.
fn password(text: &Text<'_>, at: usize) -> Option<usize> {
    // The three of `://` as well.
    let before = text.bytes.get(at.saturating_sub(USER_INFO.saturating_add(8))..at)?;
    // An `@` that is not encoded may be in a password; a row of them is no URL.
    let mut others = 0_u8;
    let mut colon = None;
    for (index, byte) in before.iter().enumerate().rev() {
        match byte {
            b'/' => {
                let (scheme, userinfo) = before.split_at_checked(index.checked_add(1)?)?;
                let [.., letter, b':', b'/', b'/'] = scheme else { return None };
                let password = before.get(usize::checked_add(colon?, 1)?..)?;
                let sound =
                    letter.is_ascii_alphanumeric() && userinfo.len() <= USER_INFO && !password.is_empty();
                return at.checked_sub(password.len()).filter(|_| sound);
            }
            // The first one ends the user.
            b':' => colon = Some(index),
            b'@' if others < 2 => others = others.saturating_add(1),
            b'@' => return None,
            byte if ends_user_info(*byte) => return None,
            _ => {}
        }
    }
    None
}

fn verify(text: &Text<'_>, start: usize, at: usize) -> Result<Option<Match>, Cut> {
    let host = at.saturating_add(1);
    let end = text.run(host, 64, |byte| byte.is_ascii_alphanumeric() || b"-._[]".contains(&byte))?;
    // Another `@`: this one is in the password.
    if end == host || text.at(end)? == Some(b'@') {
        return Ok(None);
    }
    let password = text.slice(start..at);
    let template = password.starts_with(b"$") || password.starts_with(b"{") || password.starts_with(b"%(");
    let hidden = password.iter().all(|byte| matches!(byte, b'*' | b'x' | b'X' | b'.'));
    let known = PLACEHOLDERS.iter().any(|known| password.eq_ignore_ascii_case(known));
    Ok(Some(Match::new(start..at, if template || hidden || known { 30 } else { 95 })))
}
