//! What the clusters of a world answer, and what was sent to them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use meshgate_policy::host::{Answer, CalloutError, CalloutId, GrpcCall, HostError, HttpCall, Timestamp};

use crate::message::Fields;

/// What becomes of a callout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Planned {
    /// It is answered this long after it was sent, unless its deadline is earlier. With no delay, the answer comes right
    /// after the callback that sent it.
    After(Duration, Answer),
    /// It is never answered: its deadline ends it.
    Never,
    /// It can't be sent.
    Refused(HostError),
}

impl From<Answer> for Planned {
    fn from(answer: Answer) -> Self {
        Self::After(Duration::ZERO, answer)
    }
}

/// An HTTP response to a callout.
pub fn http_answer(status: u16, fields: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Answer {
    let status = status.to_string();
    let mut head: Fields = [(":status", status.as_str())].into_iter().collect();
    for (name, value) in fields {
        head.add(name, value);
    }
    Answer::Http { headers: head.to_headers(), body: body.into() }
}

/// An HTTP call that a policy sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentHttp {
    /// The cluster's name.
    pub cluster: String,
    /// The request's header fields.
    pub head: Fields,
    /// The request's body.
    pub body: Vec<u8>,
    /// How long it may take.
    pub deadline: Duration,
    /// When it was sent.
    pub at: Timestamp,
}

/// A gRPC call that a policy sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentGrpc {
    /// The cluster's name.
    pub cluster: String,
    /// The full name of the service.
    pub service: String,
    /// The method's name.
    pub method: String,
    /// Initial metadata.
    pub metadata: Fields,
    /// The encoded request message.
    pub message: Vec<u8>,
    /// How long it may take.
    pub deadline: Duration,
    /// When it was sent.
    pub at: Timestamp,
}

/// What a cluster makes of a call.
type Script<Call> = Rc<RefCell<dyn FnMut(&Call) -> Planned>>;

/// The calls of one kind: who answers them, and what was sent.
pub(crate) struct Cluster<Call> {
    scripts: BTreeMap<String, Script<Call>>,
    pub(crate) sent: Vec<Call>,
}

impl<Call> Default for Cluster<Call> {
    fn default() -> Self {
        Self { scripts: BTreeMap::new(), sent: Vec::new() }
    }
}

impl<Call> fmt::Debug for Cluster<Call> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.scripts.keys()).finish()
    }
}

impl<Call: Clone> Cluster<Call> {
    pub(crate) fn on<P: Into<Planned>>(
        &mut self,
        cluster: &str,
        mut answer: impl FnMut(&Call) -> P + 'static,
    ) {
        let script = Rc::new(RefCell::new(move |call: &Call| answer(call).into()));
        self.scripts.insert(cluster.to_owned(), script);
    }

    /// The script of a cluster, to be called when nothing of the world is borrowed: a script may look at it.
    pub(crate) fn script(&self, cluster: &str) -> Option<Script<Call>> {
        self.scripts.get(cluster).map(Rc::clone)
    }
}

/// A callout that is under way.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) due: Timestamp,
    pub(crate) id: CalloutId,
    pub(crate) answer: Answer,
}

impl Pending {
    /// When and how a call ends; an error if it can't be sent.
    pub(crate) fn new(
        planned: Planned,
        id: CalloutId,
        now: Timestamp,
        deadline: Duration,
        max_answer: usize,
    ) -> Result<Self, HostError> {
        let timed_out = Answer::Failed(CalloutError::TimedOut);
        let (delay, answer) = match planned {
            Planned::After(delay, answer) if delay <= deadline => (delay, answer),
            Planned::After(..) | Planned::Never => (deadline, timed_out),
            Planned::Refused(error) => return Err(error),
        };
        let length = match &answer {
            Answer::Http { body, .. } => body.len(),
            Answer::Grpc { message } => message.len(),
            Answer::GrpcStatus { .. } | Answer::Failed(_) => 0,
        };
        let answer = if length > max_answer { Answer::Failed(CalloutError::TooLarge) } else { answer };
        Ok(Self { due: now.after(delay), id, answer })
    }
}

impl SentHttp {
    pub(crate) fn new(call: &HttpCall<'_>, at: Timestamp) -> Self {
        Self {
            cluster: call.cluster.to_owned(),
            head: call.headers.into(),
            body: call.body.to_vec(),
            deadline: call.deadline,
            at,
        }
    }

    /// Envoy sends no call without these.
    pub(crate) fn has_pseudo_headers(&self) -> bool {
        [":method", ":path", ":authority"].iter().all(|name| self.head.all(name).next().is_some())
    }
}

impl SentGrpc {
    pub(crate) fn new(call: &GrpcCall<'_>, at: Timestamp) -> Self {
        Self {
            cluster: call.cluster.to_owned(),
            service: call.service.to_owned(),
            method: call.method.to_owned(),
            metadata: call.metadata.into(),
            message: call.message.to_vec(),
            deadline: call.deadline,
            at,
        }
    }
}
