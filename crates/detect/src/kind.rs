//! The kinds of data there are detectors for, by name.

use std::fmt;

use crate::detectors::{Detector, TABLE};

/// What is detected where the configuration does not say: data whose loss is a breach, and whose form can be verified.
pub const DEFAULT_PACKS: &[&str] = &["payment", "us", "secrets"];

/// One kind of sensitive data, such as `payment.card`: a pack and a name in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(u8);

/// What a pattern of the configuration finds.
const REGEX: Kind = Kind(u8::MAX - 1);
/// What a dictionary of the configuration finds.
const DICTIONARY: Kind = Kind(u8::MAX);

impl Kind {
    /// What a regex of the caller finds.
    pub const REGEX: Self = REGEX;
    /// What a dictionary of the caller finds.
    pub const DICTIONARY: Self = DICTIONARY;

    /// Every kind with a detector, pack by pack.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..u8::MAX).zip(TABLE).map(|(index, _)| Self(index))
    }

    /// The kinds that a selector names: one by its name (`us.ssn`), or those of a pack (`us`).
    ///
    /// # Errors
    /// [`UnknownKind`] if there are none.
    pub fn select(selector: &str) -> Result<Vec<Self>, UnknownKind> {
        let kinds: Vec<_> =
            Self::all().filter(|kind| kind.name() == selector || kind.pack() == selector).collect();
        if kinds.is_empty() { Err(UnknownKind::new(selector)) } else { Ok(kinds) }
    }

    /// The kind of this name.
    ///
    /// # Errors
    /// [`UnknownKind`] if there is none; a pack is none.
    pub fn parse(name: &str) -> Result<Self, UnknownKind> {
        Self::all().find(|kind| kind.name() == name).ok_or_else(|| UnknownKind::new(name))
    }

    /// The packs in order.
    pub fn packs() -> impl Iterator<Item = &'static str> {
        let mut last = "";
        Self::all().map(Self::pack).filter(move |pack| std::mem::replace(&mut last, pack) != *pack)
    }

    /// Its name, such as `payment.card`.
    pub fn name(self) -> &'static str {
        match self {
            REGEX => "custom.regex",
            DICTIONARY => "custom.dictionary",
            _ => self.detector().map_or("", |detector| detector.name),
        }
    }

    /// The part of the name before the dot.
    pub fn pack(self) -> &'static str {
        self.name().split('.').next().unwrap_or_default()
    }

    /// What it is, in one line.
    pub fn description(self) -> &'static str {
        match self {
            REGEX => "what a pattern of the configuration matches",
            DICTIONARY => "a word of a dictionary of the configuration",
            _ => self.detector().map_or("", |detector| detector.description),
        }
    }

    /// The lowest and the highest confidence that its findings may have.
    pub fn confidence(self) -> (u8, u8) {
        self.detector().map_or((100, 100), |detector| detector.confidence)
    }

    pub(crate) fn detector(self) -> Option<&'static Detector> {
        TABLE.get(usize::from(self.0)).copied()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no kind or pack of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKind {
    name: String,
    similar: Option<&'static str>,
}

impl UnknownKind {
    fn new(name: &str) -> Self {
        let names = || Kind::packs().chain(Kind::all().map(Kind::name));
        let last = |name: &'static str| name.rsplit('.').next().unwrap_or(name);
        let near = |known: &'static str| strsim::jaro_winkler(known, name);
        let similar = names().find(|known| last(known) == name).or_else(|| {
            names().max_by(|one, other| near(one).total_cmp(&near(other))).filter(|known| near(known) > 0.8)
        });
        Self { name: name.to_owned(), similar }
    }
}

impl fmt::Display for UnknownKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing is known by the name {:?}", self.name)?;
        if let Some(similar) = self.similar {
            write!(f, "; did you mean {similar:?}?")?;
        }
        f.write_str(if self.similar.is_some() { " " } else { ". " })?;
        f.write_str("The packs are ")?;
        for (index, pack) in Kind::packs().enumerate() {
            write!(f, "{}{pack:?}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownKind {}
