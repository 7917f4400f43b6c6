//! What is looked for, each thing once, whichever rules look for it.

use meshgate_detect::Kind;

/// One detector, or an expression or dictionary of the user's.
#[derive(Clone, Debug)]
pub struct Target {
    /// What it finds.
    pub kind: Kind,
    /// What logs call it: `payment.card`.
    pub name: Box<str>,
    /// What `replace` puts in its place: `[PAYMENT CARD]`.
    pub tag: Box<str>,
    /// Whether the punctuation of its values tells nothing, so that it stays where a value is masked. It does not of what is
    /// random, or unknown.
    pub keeps_punctuation: bool,
    /// The rules that look for it, as bits.
    pub rules: u64,
}

impl Target {
    /// A detector.
    pub fn known(kind: Kind) -> Self {
        Self::new(kind, kind.name(), kind.pack() != "secrets")
    }

    /// An expression or a dictionary.
    pub fn custom(kind: Kind, name: &str) -> Self {
        Self::new(kind, name, false)
    }

    fn new(kind: Kind, name: &str, keeps_punctuation: bool) -> Self {
        let spaced: String = name
            .chars()
            .map(|char| if matches!(char, '.' | '_') { ' ' } else { char.to_ascii_uppercase() })
            .collect();
        Self { kind, name: name.into(), tag: format!("[{spaced}]").into(), keeps_punctuation, rules: 0 }
    }
}
