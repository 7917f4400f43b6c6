//! What a request costs of a limit: a number that is known when it comes, or one that only its response tells.

use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::expression;
use meshgate_policy::expression::template::{Sink, Template};
use meshgate_policy::grpc::GrpcStatus;
use meshgate_policy::headers::HeaderName;
use meshgate_policy::matching::{Match, StatusPattern};

use crate::config::{ChargeConfig, CostConfig, CostSource, MAX_COST};
use crate::meter::Pointer;
use crate::request::{Request, check_path};

/// The longest number that an expression may give, in bytes of JSON.
const MAX_NUMBER: usize = 64;

/// What a request costs.
#[derive(Debug)]
pub struct Cost {
    by: By,
    /// For one that is known late: what is counted until then.
    reserve: u64,
}

#[derive(Debug)]
enum By {
    Fixed(u64),
    Header(HeaderName),
    Expression(Box<Template>),
    Late(Late),
}

/// A cost that is known only when the response has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Late {
    /// Bytes of the request.
    RequestBytes,
    /// Bytes of the response.
    ResponseBytes,
    /// A number in the body of the response.
    ResponseJson(Pointer),
}

/// What a request says of its cost can't be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unclear;

impl Cost {
    /// Checks what is configured. Nothing is: each request costs 1. `entry` is the `match` block of its limit.
    ///
    /// # Errors
    /// A [`ConfigError`] for the first thing that is wrong.
    pub fn compile(config: Option<CostConfig>, entry: &Match, path: &Path) -> Result<Self, ConfigError> {
        let source = match config {
            None => return Ok(Self { by: By::Fixed(1), reserve: 0 }),
            Some(CostConfig::Fixed(cost)) => return Ok(Self { by: By::Fixed(cost), reserve: 0 }),
            Some(CostConfig::Told(source)) => source,
        };
        let CostSource { header, expression, request_bytes, response_bytes, response_json, reserve } = source;
        let mut found = [
            header.map(|name| by_header(&name, path)),
            expression.map(|source| by_expression(&source, entry, path)),
            request_bytes.map(|_| Ok(By::Late(Late::RequestBytes))),
            response_bytes.map(|_| Ok(By::Late(Late::ResponseBytes))),
            response_json.map(|pointer| by_json(&pointer, path)),
        ]
        .into_iter()
        .flatten();
        let expected = "one of header, expression, request_bytes, response_bytes, response_json";
        let by = match (found.next(), found.next()) {
            (Some(only), None) => only?,
            (None, _) => return Err(ConfigError::at(path.clone()).found("none of them").expected(expected)),
            (Some(_), Some(_)) => {
                let error = ConfigError::at(path.clone()).found("several").expected(expected);
                return Err(error.hint("write a limit for each"));
            }
        };
        let is_late = matches!(by, By::Late(_));
        match reserve {
            Some(_) if !is_late => Err(ConfigError::at(path.key("reserve"))
                .found("a reserve beside a cost that is known at once")
                .expected("one only beside request_bytes, response_bytes, response_json")),
            Some(reserve) if reserve > MAX_COST => {
                let error = ConfigError::at(path.key("reserve")).found(reserve.to_string());
                Err(error.expected(format!("at most {MAX_COST}")))
            }
            reserve => Ok(Self { by, reserve: reserve.unwrap_or(1) }),
        }
    }

    /// What is counted when a request comes. `entry` is the `match` block of its limit, whose path template gives an
    /// expression its `path`.
    ///
    /// # Errors
    /// [`Unclear`]
    pub fn at_head(&self, request: &Request<'_>, entry: &Match) -> Result<u64, Unclear> {
        match &self.by {
            By::Fixed(cost) => Ok(*cost),
            By::Header(name) => {
                request.header(name).map_or(Ok(1), |value| value.and_then(whole).ok_or(Unclear))
            }
            By::Expression(template) => {
                let value = request.value(template, entry, MAX_NUMBER).ok_or(Unclear)?;
                number(&value).ok_or(Unclear)
            }
            By::Late(_) => Ok(self.reserve),
        }
    }

    /// What is to be looked at when the response passes, if that tells the cost.
    pub const fn late(&self) -> Option<&Late> {
        match &self.by {
            By::Late(late) => Some(late),
            By::Fixed(_) | By::Header(_) | By::Expression(_) => None,
        }
    }

    /// Whether an expression says what it is, which may ask for anything of a request.
    pub const fn is_expression(&self) -> bool {
        matches!(self.by, By::Expression(_))
    }
}

fn by_header(name: &str, path: &Path) -> Result<By, ConfigError> {
    if name.eq_ignore_ascii_case("host") {
        let error = ConfigError::at(path.key("header")).value(name);
        return Err(error.expected("a header with a number in it, such as x-cost"));
    }
    HeaderName::new(name).map(By::Header).map_err(|_| {
        let error = ConfigError::at(path.key("header")).value(name);
        error.expected("the name of a header field, such as x-cost")
    })
}

fn by_expression(source: &str, entry: &Match, path: &Path) -> Result<By, ConfigError> {
    let path = path.key("expression");
    // Alone first: what is wrong with it is told of what the user wrote.
    expression::compile(source).map_err(|error| ConfigError::at(&path).problem(error.to_string()))?;
    // In parentheses, so that nothing in it ends the tag and what follows it becomes text.
    let template = Template::new(&format!("{{{{ ({source}\n) }}}}"), Sink::Json)
        .map_err(|error| ConfigError::at(path.clone()).problem(error.to_string()))?;
    if template.literal().is_some() || template.needs().response || template.needs().body {
        return Err(ConfigError::at(path).value(source).expected(
            "an expression over the head of the request: limits count before there is a body or a response",
        ));
    }
    check_path(template.captures(), entry, &path)?;
    Ok(By::Expression(Box::new(template)))
}

fn by_json(pointer: &str, path: &Path) -> Result<By, ConfigError> {
    let late = Pointer::new(pointer).map(|pointer| By::Late(Late::ResponseJson(pointer)));
    late.ok_or_else(|| {
        let error = ConfigError::at(path.key("response_json")).value(pointer);
        error.expected("a JSON pointer such as /usage/total_tokens")
    })
}

/// A whole number from 1 on, in digits.
fn whole(value: &[u8]) -> Option<u64> {
    let digits =
        std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok().filter(|cost| (1..=MAX_COST).contains(cost))
}

/// A number in JSON, rounded up.
fn number(json: &[u8]) -> Option<u64> {
    let number: serde_json::Number = serde_json::from_slice(json).ok()?;
    let number = number.as_f64()?.ceil();
    #[allow(clippy::cast_precision_loss, reason = "it is exact: it has 50 bits")]
    let most = MAX_COST as f64;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole and in range")]
    (0.0..=most).contains(&number).then_some(number as u64)
}

/// Which requests stay counted, by the status of their response.
#[derive(Debug, Default)]
pub struct Charged {
    status: Option<Box<[StatusPattern]>>,
    grpc_status: Option<Box<[GrpcStatus]>>,
}

impl Charged {
    /// Checks what is configured. Nothing is: all.
    ///
    /// # Errors
    /// A [`ConfigError`] where nothing is said.
    pub fn compile(config: Option<ChargeConfig>, path: &Path) -> Result<Self, ConfigError> {
        let Some(ChargeConfig { status, grpc_status }) = config else { return Ok(Self::default()) };
        if status.is_none() && grpc_status.is_none() {
            let error = ConfigError::at(path).found("neither status nor grpc_status");
            return Err(error.expected("one of them or both, such as status: 2xx"));
        }
        Ok(Self {
            status: status.map(|status| status.into_vec().into()),
            grpc_status: grpc_status.map(|status| status.into_vec().into()),
        })
    }

    /// Whether it depends on the response.
    pub const fn asks_for_status(&self) -> bool {
        self.status.is_some() || self.asks_for_grpc_status()
    }

    /// Whether it depends on what may come in the trailers of the response.
    pub const fn asks_for_grpc_status(&self) -> bool {
        self.grpc_status.is_some()
    }

    /// Whether a request stays counted whose response has these.
    pub fn stays(&self, status: Option<u16>, grpc_status: Option<GrpcStatus>) -> bool {
        let by_status = self.status.as_ref().zip(status);
        let by_grpc = self.grpc_status.as_ref().zip(grpc_status);
        by_status.is_none_or(|(statuses, status)| statuses.iter().any(|pattern| pattern.matches(status)))
            && by_grpc.is_none_or(|(statuses, status)| statuses.contains(&status))
    }
}
