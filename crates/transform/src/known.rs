//! What is known of an exchange while a message of it is rewritten.

use std::cell::{OnceCell, RefCell};
use std::fmt;

use meshgate_policy::consumer::Consumer;
use meshgate_policy::expression::Scope;
use meshgate_policy::head::RequestHead;
use meshgate_policy::headers::Headers;
use meshgate_policy::host::{Side, Timestamp};
use meshgate_policy::matching::Input;

use crate::rule::Rule;
use crate::trouble::Trouble;

/// What is known of an exchange: its heads as they arrived, and what templates ask for.
pub struct Known<'a> {
    /// Whose message is rewritten.
    pub side: Side,
    /// The head of the request, where a rule depends on it.
    pub request: Option<&'a Headers>,
    /// The head of the response, once there is one.
    pub response: Option<&'a Headers>,
    /// Who was authenticated, once somebody asked.
    consumer: Option<Option<Consumer>>,
    /// The time, once somebody asked.
    now: Option<Timestamp>,
    /// The body as it arrived, decoded, where a template or condition asks.
    pub body: Option<&'a [u8]>,
    /// Somebody asks for what is not done, too.
    pub in_detail: bool,
    scope: OnceCell<Scope>,
    with_body: RefCell<Option<Scope>>,
}

impl fmt::Debug for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known")
            .field("side", &self.side)
            .field("request", &self.request)
            .field("response", &self.response)
            .field("body_bytes", &self.body.map(<[u8]>::len))
            .finish_non_exhaustive()
    }
}

impl<'a> Known<'a> {
    /// Begins with the heads.
    pub const fn new(side: Side, request: Option<&'a Headers>, response: Option<&'a Headers>) -> Self {
        Self {
            side,
            request,
            response,
            consumer: None,
            now: None,
            body: None,
            in_detail: false,
            scope: OnceCell::new(),
            with_body: RefCell::new(None),
        }
    }

    /// Whether templates can see the time.
    pub const fn has_time(&self) -> bool {
        self.now.is_some()
    }

    /// Shows the time to templates.
    pub fn set_now(&mut self, now: Timestamp) {
        self.now = Some(now);
        self.forget_scopes();
    }

    /// Whether it is known who was authenticated, if anybody.
    pub const fn asked_consumer(&self) -> bool {
        self.consumer.is_some()
    }

    /// Shows who was authenticated to templates.
    pub fn set_consumer(&mut self, consumer: Option<Consumer>) {
        self.consumer = Some(consumer);
        self.forget_scopes();
    }

    /// What was made for conditions did not have what was learnt since.
    fn forget_scopes(&mut self) {
        self.scope.take();
        self.with_body.take();
    }

    /// The head of the message that is rewritten.
    pub const fn head(&self) -> Option<&'a Headers> {
        match self.side {
            Side::Request => self.request,
            Side::Response => self.response,
        }
    }

    /// Whether a rule is for this message, by its `match`. `roll` is for `percent`.
    pub fn matches(&self, rule: &Rule, roll: &dyn Fn() -> u16) -> bool {
        rule.matches.as_ref().is_none_or(|matches| {
            let nothing = Headers::default();
            let request = RequestHead::new(self.request.unwrap_or(&nothing));
            matches.holds(&Input { request: &request, response: self.response, roll })
        })
    }

    /// Whether the condition of a rule holds, or there is none.
    ///
    /// # Errors
    /// [`Trouble::Template`] if it has no answer.
    pub fn holds(&self, rule: &Rule) -> Result<bool, Trouble> {
        let Some(condition) = &rule.when else { return Ok(true) };
        condition.holds(&self.scope(rule, condition.needs().body)).map_err(|error| {
            log::debug!("{error}");
            Trouble::Template
        })
    }

    /// What templates of a rule see.
    pub fn scope(&self, rule: &Rule, with_body: bool) -> Scope {
        let mut scope = if with_body { self.scope_with_body() } else { self.plain_scope().clone() };
        if let (Some(matches), Some(request)) = (&rule.matches, self.request)
            && matches.names().next().is_some()
        {
            scope.set_captures(&matches.captures(&RequestHead::new(request)));
        }
        scope
    }

    /// What a name in the path of a rule's `match` stood for.
    pub fn capture(&self, rule: &Rule, name: &str) -> Option<Vec<u8>> {
        let request = RequestHead::new(self.request?);
        let captures = rule.matches.as_ref()?.captures(&request);
        captures.value(name).map(<[u8]>::to_vec)
    }

    fn plain_scope(&self) -> &Scope {
        self.scope.get_or_init(|| {
            let nothing = Headers::default();
            let mut scope = Scope::new(&RequestHead::new(self.request.unwrap_or(&nothing)));
            if let Some(response) = self.response {
                scope.set_response(response);
            }
            if let Some(Some(consumer)) = &self.consumer {
                scope.set_consumer(consumer.to_value());
            }
            if let Some(now) = self.now {
                scope.set_now(now);
            }
            scope
        })
    }

    fn scope_with_body(&self) -> Scope {
        let mut kept = self.with_body.borrow_mut();
        kept.get_or_insert_with(|| {
            let mut scope = self.plain_scope().clone();
            if let Some(body) = self.body {
                scope.set_body(body);
            }
            scope
        })
        .clone()
    }
}
