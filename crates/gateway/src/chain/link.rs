//! Where a message is between two stages: what one of them keeps of it.

use meshgate_policy::host::{Host, HostError, Side};

/// What one stage has of a message.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// It has seen the head.
    pub(super) entered: bool,
    /// Nothing more of this message is for it: it has answered, or has seen another head.
    pub(super) done: bool,
    pub(super) stop: Stop,
    /// The head is here.
    pub(super) head: bool,
    /// What is here of the body; `None`: there is no buffer.
    pub(super) body: Option<Data>,
    /// The trailers are here.
    pub(super) trailers: bool,
    /// The last of the message has come, but for trailers.
    pub(super) end: bool,
    /// It has come in a way that leaves nothing to write into.
    pub(super) bare_end: bool,
    pub(super) backlog: Backlog,
}

/// How a stage has stopped a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stop {
    #[default]
    No,
    /// It is shown what follows.
    Shown,
    /// It is not, until it goes on.
    Unseen,
}

/// What came while a stage was shown nothing.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    pub(super) body: Option<Data>,
    pub(super) end: bool,
    pub(super) bare_end: bool,
    pub(super) trailers: bool,
}

/// A part of a message on its way.
#[derive(Debug)]
pub(super) enum Event {
    Head {
        end: bool,
    },
    Body {
        data: Data,
        end: bool,
    },
    /// The body ends with the trailers that follow, and the proxy has nothing of it: nothing can be written.
    BareEnd,
    Trailers,
}

/// Bytes of a body.
#[derive(Debug)]
pub(super) enum Data {
    /// In the proxy's buffer, from this byte to its end. Only within the callback that brought them.
    AtHost { from: usize, size: usize },
    /// Here.
    Here {
        bytes: Vec<u8>,
        /// They are what is in the proxy's buffer from this byte to its end.
        same_from: Option<usize>,
    },
}

impl Default for Data {
    fn default() -> Self {
        Self::of(Vec::new())
    }
}

impl Data {
    pub(super) const fn of(bytes: Vec<u8>) -> Self {
        Self::Here { bytes, same_from: None }
    }

    pub(super) const fn len(&self) -> usize {
        match self {
            Self::AtHost { size, .. } => *size,
            Self::Here { bytes, .. } => bytes.len(),
        }
    }

    /// Whether it is all that the proxy has at hand, as it is there.
    pub(super) const fn is_all_of_host(&self) -> bool {
        matches!(self, Self::AtHost { from: 0, .. } | Self::Here { same_from: Some(0), .. })
    }

    /// The bytes, read from the proxy if they are there.
    pub(super) fn load(&mut self, host: &mut dyn Host, side: Side) -> Result<&mut Vec<u8>, HostError> {
        if let Self::AtHost { from, .. } = *self {
            let bytes = host.body(side, from, usize::MAX)?;
            *self = Self::Here { bytes, same_from: Some(from) };
        }
        match self {
            Self::Here { bytes, .. } => Ok(bytes),
            Self::AtHost { .. } => Err(HostError::Malformed),
        }
    }

    /// Adds what follows.
    pub(super) fn append(
        &mut self,
        host: &mut dyn Host,
        side: Side,
        mut more: Self,
    ) -> Result<(), HostError> {
        if self.len() == 0 {
            *self = more;
            return Ok(());
        }
        if more.len() == 0 {
            return Ok(());
        }
        let more = std::mem::take(more.load(host, side)?);
        self.load(host, side)?.extend(more);
        self.keep(host, side)
    }

    /// Makes it independent of the proxy's buffer, which may change from here on.
    pub(super) fn keep(&mut self, host: &mut dyn Host, side: Side) -> Result<(), HostError> {
        self.load(host, side)?;
        if let Self::Here { same_from, .. } = self {
            *same_from = None;
        }
        Ok(())
    }
}

impl Link {
    /// Whether something of a message may come to this stage.
    pub(super) const fn is_open(&self) -> bool {
        self.entered && !self.done
    }
}

impl Backlog {
    /// Keeps what a stage is not shown.
    pub(super) fn take(&mut self, host: &mut dyn Host, side: Side, event: Event) -> Result<(), HostError> {
        match event {
            Event::Head { .. } => {}
            Event::Body { data, end } => {
                let body = self.body.get_or_insert_default();
                body.append(host, side, data)?;
                body.keep(host, side)?;
                self.end |= end;
            }
            Event::BareEnd => self.bare_end = true,
            Event::Trailers => self.trailers = true,
        }
        Ok(())
    }
}
