//! One request: whether it is answered here, and whether its response is an error that is replaced.

use std::fmt;
use std::rc::Rc;

use meshgate_policy::exchange::{Exchange, Next, Reply};
use meshgate_policy::grpc::GrpcStatus;
use meshgate_policy::head::RequestHead;
use meshgate_policy::headers::{HeaderName, Headers};
use meshgate_policy::host::{Host, HostError, Map, Part, Side};
use meshgate_policy::matching::number_of;

use crate::Errors;
use crate::answer::{Answer, Base};
use crate::catalogue::{self, Kind};
use crate::cause::{Cause, Origin};
use crate::config::{GatewayErrors, UpstreamErrors};
use crate::error_match::Subject;
use crate::fields;
use crate::format::Document;
use crate::metrics::Event;
use crate::occasion::{Occasion, is_grpc};
use crate::reason;
use crate::report;

const GRPC_STATUS: HeaderName = HeaderName::constant("grpc-status");

/// What stands for a status that is none: outside of 100 to 599, which a client would take for a server's error (RFC 9110
/// section 15). The answer is not valid, and that is what 502 says.
const NO_STATUS: u16 = 502;

/// One request, and what of it is still needed when the response comes.
pub struct ErrorsExchange {
    policy: Rc<Errors>,
    /// The head of the request: while the response passes, the proxy shows it no more.
    request: Option<Headers>,
    /// The response is an error that must not pass unseen.
    failing: bool,
}

impl fmt::Debug for ErrorsExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorsExchange").field("request", &self.request).finish_non_exhaustive()
    }
}

impl ErrorsExchange {
    pub(crate) fn new(policy: Rc<Errors>) -> Self {
        Self { policy, request: None, failing: false }
    }
}

impl Exchange for ErrorsExchange {
    fn request_head(&mut self, host: &mut dyn Host, _end: bool) -> Result<Next, HostError> {
        if !self.policy.reads_requests {
            return Ok(Next::Continue);
        }
        let request = host.headers(Map::RequestHeaders)?;
        if self.policy.answers_requests()
            && let Some(reply) = self.policy.answer_request(host, &request)
        {
            return Ok(Next::Reply(Box::new(reply)));
        }
        self.request = Some(request);
        Ok(Next::Continue)
    }

    /// Of a response that is no error nothing is read but its status.
    fn response_head(&mut self, host: &mut dyn Host, _end: bool) -> Result<Next, HostError> {
        let status = host.first_header(Map::ResponseHeaders, &HeaderName::STATUS)?;
        let status = status.as_deref().and_then(number_of).unwrap_or(NO_STATUS);
        // To a gRPC client an error is a 200, whoever made it.
        let may_be_grpc = status == 200 && self.request.as_ref().is_none_or(is_grpc);
        let grpc_status =
            if may_be_grpc { host.first_header(Map::ResponseHeaders, &GRPC_STATUS)? } else { None };
        let grpc_status =
            grpc_status.as_deref().and_then(GrpcStatus::from_field).filter(|status| status.number() != 0);
        if !self.policy.looks_at(status) && grpc_status.is_none() {
            host.detail(format_args!("{status} is no error"));
            return Ok(Next::Continue);
        }
        self.failing = status >= 500;
        let request = self.request.take().unwrap_or_default();
        Ok(match self.policy.replace(host, &request, status, grpc_status)? {
            Some(reply) => Next::Reply(Box::new(reply)),
            None => Next::Continue,
        })
    }

    /// What can't be decided passes, but for what may say too much, and for requests that are to be answered here.
    fn failed(&mut self, side: Side, _part: Part, _error: HostError) -> Next {
        let answers = match side {
            Side::Request => self.policy.answers_requests(),
            Side::Response => self.failing,
        };
        if answers { Next::Reply(Box::new(Reply::internal_error())) } else { Next::Continue }
    }
}

impl Errors {
    /// Whether there is anything that answers requests.
    fn answers_requests(&self) -> bool {
        !self.maintenance.is_empty() || !self.direct.is_empty()
    }

    /// The answer to a request that does not go on.
    fn answer_request(&self, host: &mut dyn Host, request: &Headers) -> Option<Reply> {
        let head = RequestHead::new(request);
        let mut occasion = Occasion::new(&head, None, host, self);
        for (index, maintenance) in self.maintenance.iter().enumerate() {
            match maintenance.answer(&mut occasion, &self.formats) {
                Ok(reply) => {
                    occasion.host().explain(format_args!("maintenance[{index}]"));
                    occasion.count(Event::Maintenance);
                    return Some(reply);
                }
                Err(why) => occasion.host().detail(format_args!("maintenance[{index}]: {why}")),
            }
        }
        for (index, direct) in self.direct.iter().enumerate() {
            match direct.answer(&mut occasion, &self.formats) {
                Ok((reply, event)) => {
                    occasion.host().explain(format_args!("direct[{index}]"));
                    occasion.count(event);
                    return Some(reply);
                }
                Err(why) => occasion.host().detail(format_args!("direct[{index}]: {why}")),
            }
        }
        None
    }

    /// The answer in place of a response; `None`: it passes.
    #[cold]
    fn replace(
        &self,
        host: &mut dyn Host,
        request: &Headers,
        status: u16,
        grpc_status: Option<GrpcStatus>,
    ) -> Result<Option<Reply>, HostError> {
        let response = host.headers(Map::ResponseHeaders)?;
        let cause = Cause::read(host);
        let origin = cause.origin();
        let found = catalogue::find(&cause).filter(|_| origin == Origin::Gateway);
        // What Envoy would have answered had the client not spoken gRPC.
        let status = match (grpc_status, found) {
            (Some(_), Some(kind)) => kind.status,
            (Some(grpc), None) => grpc.to_http(),
            (None, _) => status,
        };
        let head = RequestHead::new(request);
        let mut occasion = Occasion::new(&head, Some(&response), host, self);
        let request = self.reads_requests.then_some(&head);
        let subject = Subject { request, response: &response, status, cause: &cause };
        let made_by = match origin {
            Origin::Gateway => "the gateway",
            Origin::Upstream => "the upstream",
        };
        if occasion.host().wants_detail() {
            let base = report::escaped(cause.base());
            occasion.host().detail(format_args!("{status} of {made_by}: {base}"));
        }
        let place = self.rules.iter().enumerate().position(|(index, rule)| {
            let held = rule.check(&subject, &mut occasion);
            if let Err(why) = held {
                occasion.host().detail(format_args!("rules[{index}]: {why}"));
            }
            held.is_ok()
        });
        let rule = place.and_then(|place| self.rules.get(place));
        match place {
            Some(place) => occasion.host().explain(format_args!("rules[{place}]")),
            None => occasion.host().explain(format_args!("no rule")),
        }
        let default = Answer::default();
        let answer = match rule {
            Some(rule) => {
                if rule.matches.asks_request() {
                    occasion.capture(rule.matches.request());
                }
                if rule.answer.is_none() {
                    occasion.host().detail(format_args!("the rule lets it pass"));
                }
                rule.answer.as_ref()
            }
            None => match self.replaces(status, grpc_status, origin, &cause, &response) {
                Ok(()) => {
                    occasion.host().detail(format_args!("replaced: so are errors of {made_by}"));
                    Some(&default)
                }
                Err(why) => {
                    occasion.host().detail(format_args!("passes: {why}"));
                    None
                }
            },
        };
        let Some(answer) = answer else {
            if status >= 400 {
                occasion.count(Event::Passed);
            }
            return Ok(None);
        };
        let usual =
            found.map_or_else(|| reason::document(status), |kind: &Kind| kind.document(&self.type_base));
        let problem = Document { members: occasion.members(), ..usual };
        let base = Base {
            grpc_status,
            fields: fields::kept(
                &response,
                origin,
                status,
                &answer.keep,
                &[&answer.remove, &self.route_headers],
            ),
            ..Base::new(status, problem, cause.details_of_the_answer())
        };
        occasion.count(match origin {
            Origin::Gateway => Event::ReplacedGateway,
            Origin::Upstream => Event::ReplacedUpstream,
        });
        report::report(&mut occasion, status, &cause, &base.problem.kind);
        Ok(Some(answer.reply(base, &mut occasion, &self.formats)))
    }

    /// Checks that an error that no rule is for is replaced.
    ///
    /// # Errors
    /// Why it is not.
    fn replaces(
        &self,
        status: u16,
        grpc_status: Option<GrpcStatus>,
        origin: Origin,
        cause: &Cause,
        response: &Headers,
    ) -> Result<(), &'static str> {
        let is = |media_type: &str| {
            let essence = |value: &[u8]| {
                value.split(|byte| *byte == b';').next().map(|name| name.trim_ascii().to_ascii_lowercase())
            };
            response
                .all("content-type")
                .any(|value| essence(value).is_some_and(|name| name == media_type.as_bytes()))
        };
        match origin {
            Origin::Upstream if status < 500 => Err("below 500 it is the upstream's own business"),
            // What an upstream says to a gRPC client is a part of its service.
            Origin::Upstream if grpc_status.is_some() => Err("what an upstream says to a gRPC client stays"),
            Origin::Upstream => match self.upstream_errors {
                UpstreamErrors::Replace => Ok(()),
                UpstreamErrors::KeepProblems
                    if is("application/problem+json") || is("application/problem+xml") =>
                {
                    Err("a problem document, and upstream_errors is keep_problems")
                }
                UpstreamErrors::KeepProblems => Ok(()),
                UpstreamErrors::Pass => Err("upstream_errors is pass"),
            },
            Origin::Gateway if self.gateway_errors != GatewayErrors::Replace => Err("gateway_errors is pass"),
            Origin::Gateway if status < 400 => Err("no error"),
            // What somebody has written on purpose has a form, or a name that says so.
            Origin::Gateway if ["direct_response", "lua_response"].contains(&cause.details.as_str()) => {
                Err("a direct response of the proxy")
            }
            Origin::Gateway
                if grpc_status.is_some() || is("text/plain") || response.first("content-type").is_none() =>
            {
                Ok(())
            }
            Origin::Gateway => Err("it has a form of its own"),
        }
    }
}
