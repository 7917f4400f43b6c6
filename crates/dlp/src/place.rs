//! Where in an exchange something is looked for.

use meshgate_policy::host::Side;
use schemars::JsonSchema;
use serde::Deserialize;

/// A part of a request or a response. Mistakes are answered with the list in this order.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Hash)]
pub enum Place {
    /// The body of the request.
    #[serde(rename = "request.body")]
    RequestBody,
    /// Header fields of the request, but for cookies and those that frame the message or direct it.
    #[serde(rename = "request.headers")]
    RequestHeaders,
    /// Cookies of the request.
    #[serde(rename = "request.cookies")]
    RequestCookies,
    /// The query of the request, name and value of each parameter.
    #[serde(rename = "request.query")]
    RequestQuery,
    /// The path of the request, without its query.
    #[serde(rename = "request.path")]
    RequestPath,
    /// The body of the response.
    #[serde(rename = "response.body")]
    ResponseBody,
    /// Header fields of the response, but for `set-cookie` and those that frame the message.
    #[serde(rename = "response.headers")]
    ResponseHeaders,
    /// The values of `set-cookie`, without attributes.
    #[serde(rename = "response.cookies")]
    ResponseCookies,
}

impl Place {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::RequestBody,
        Self::RequestHeaders,
        Self::RequestCookies,
        Self::RequestQuery,
        Self::RequestPath,
        Self::ResponseBody,
        Self::ResponseHeaders,
        Self::ResponseCookies,
    ];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RequestPath => "request.path",
            Self::RequestQuery => "request.query",
            Self::RequestHeaders => "request.headers",
            Self::RequestCookies => "request.cookies",
            Self::RequestBody => "request.body",
            Self::ResponseHeaders => "response.headers",
            Self::ResponseCookies => "response.cookies",
            Self::ResponseBody => "response.body",
        }
    }

    /// Of which message it is a part.
    pub const fn side(self) -> Side {
        match self {
            Self::RequestPath
            | Self::RequestQuery
            | Self::RequestHeaders
            | Self::RequestCookies
            | Self::RequestBody => Side::Request,
            Self::ResponseHeaders | Self::ResponseCookies | Self::ResponseBody => Side::Response,
        }
    }

    /// Whether it is a body.
    pub const fn is_body(self) -> bool {
        matches!(self, Self::RequestBody | Self::ResponseBody)
    }

    /// The body of a message.
    pub const fn body(side: Side) -> Self {
        match side {
            Side::Request => Self::RequestBody,
            Side::Response => Self::ResponseBody,
        }
    }
}

/// Some places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places(u8);

impl Places {
    /// Adds a place.
    pub fn add(&mut self, place: Place) {
        self.0 |= 1 << place as u8;
    }

    /// Whether a place is among them.
    pub const fn has(self, place: Place) -> bool {
        self.0 & 1 << place as u8 != 0
    }

    /// Whether a part of this message is among them.
    pub fn on(self, side: Side) -> bool {
        Place::ALL.into_iter().any(|place| place.side() == side && self.has(place))
    }
}
