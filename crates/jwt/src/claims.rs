//! Whether what a token claims is good: for us, and now.

use std::borrow::Cow;

use serde_json::Value;

use crate::compact::Claims;

/// What a token must claim. All times are seconds.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// `iss`, character by character; `None`: not looked at.
    pub issuer: Option<Box<str>>,
    /// Of `aud`, one must be among these. A token with `aud` is never good without (RFC 7519 section 4.1.3); with none of
    /// these, only tokens without `aud` are.
    pub audiences: Vec<Box<str>>,
    /// What `typ` may be.
    pub types: Types,
    /// How far clocks may differ.
    pub skew: u64,
    /// The longest time from `iat`, or else from now, to `exp`; `None`: any.
    pub max_lifetime: Option<u64>,
    /// What else must be there.
    pub required: Vec<Required>,
    /// All of these must be among those of `scope` (RFC 8693 section 4.2) or `scp`.
    pub scopes: Vec<Box<str>>,
}

/// What kinds of tokens are taken, by `typ`: in any case, with `application/` or without (RFC 7515 section 4.1.9).
#[derive(Clone, Debug, Default)]
pub enum Types {
    /// It is not looked at.
    #[default]
    Any,
    /// What access tokens have, or nothing: what says of itself that it is for something else, such as `logout+jwt`, is not
    /// taken (RFC 8725 section 3.11).
    Usual,
    /// One of these.
    These(Vec<Box<str>>),
}

/// What access tokens say they are, if they say so: RFC 7519 section 5.1, RFC 7515 section 4.1.9, RFC 9068 section 2.1.
const USUAL: [&str; 3] = ["JWT", "JOSE", "at+jwt"];

/// A claim that must be there.
#[derive(Clone, Debug)]
pub struct Required {
    /// Which.
    pub claim: ClaimPath,
    /// It, or one of its members, must be one of these; none: anything but `null`.
    pub values: Vec<Box<str>>,
}

/// Where a claim is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(Box<str>);

/// How long a token that is good stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From then on it is not, skew included. Seconds since 1970-01-01T00:00:00Z.
    pub until: u64,
}

/// Why the claims are not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimProblem {
    /// `typ` is not one that is taken here.
    Type,
    /// `iss` is another, or not there.
    Issuer,
    /// `aud` has none of ours.
    Audience,
    /// No `exp`: a token that is good for ever is not taken.
    NoExpiry,
    /// `exp`, `nbf` or `iat` is not a time.
    Time,
    /// `exp` is over.
    Expired,
    /// `nbf` or `iat` is still to come.
    NotYetValid,
    /// It lives longer than is allowed.
    LivesTooLong,
    /// A required claim is not there, or has another value.
    Claim,
    /// A required scope is not there.
    Scope,
}

impl Rules {
    /// Checks what kind of token it is, as its header or an introspection endpoint says.
    ///
    /// # Errors
    /// [`ClaimProblem::Type`]
    pub fn check_type(&self, kind: Option<&str>) -> Result<(), ClaimProblem> {
        let is =
            |known: &str| kind.is_some_and(|kind| media_type(known).eq_ignore_ascii_case(media_type(kind)));
        let known = match &self.types {
            Types::Any => true,
            Types::Usual => kind.is_none() || USUAL.into_iter().any(is),
            Types::These(types) => types.iter().any(|known| is(known)),
        };
        if known { Ok(()) } else { Err(ClaimProblem::Type) }
    }

    /// Checks the claims at a time, in seconds since 1970-01-01T00:00:00Z. `exp` is always required.
    ///
    /// # Errors
    /// The first [`ClaimProblem`]. Scopes come last, because theirs is another answer: the token is good, but not for this.
    pub fn check(&self, claims: &Claims, now: u64) -> Result<Validity, ClaimProblem> {
        let expires = time(claims, "exp", f64::floor)?.ok_or(ClaimProblem::NoExpiry)?;
        let validity = self.check_all(claims, now, Some(expires))?;
        validity.ok_or(ClaimProblem::NoExpiry)
    }

    /// As [`Rules::check`], of what an introspection endpoint says: `exp` need not be there (RFC 7662 section 2.2).
    ///
    /// # Errors
    /// The first [`ClaimProblem`].
    pub fn check_introspected(&self, claims: &Claims, now: u64) -> Result<Option<Validity>, ClaimProblem> {
        self.check_all(claims, now, time(claims, "exp", f64::floor)?)
    }

    fn check_all(
        &self,
        claims: &Claims,
        now: u64,
        expires: Option<u64>,
    ) -> Result<Option<Validity>, ClaimProblem> {
        let issuer = claims.get("iss").and_then(Value::as_str);
        if self.issuer.as_deref().is_some_and(|expected| issuer != Some(expected)) {
            return Err(ClaimProblem::Issuer);
        }
        let ours = |audience: &str| self.audiences.iter().any(|one| **one == *audience);
        let for_us = match claims.get("aud") {
            None => self.audiences.is_empty(),
            Some(audience) => strings(audience).any(ours),
        };
        if !for_us {
            return Err(ClaimProblem::Audience);
        }

        let until = expires.map(|expires| expires.saturating_add(self.skew));
        if until.is_some_and(|until| now >= until) {
            return Err(ClaimProblem::Expired);
        }
        let issued = time(claims, "iat", f64::ceil)?;
        let begins = time(claims, "nbf", f64::ceil)?;
        if issued.max(begins).is_some_and(|begins| begins > now.saturating_add(self.skew)) {
            return Err(ClaimProblem::NotYetValid);
        }
        let lifetime = expires.map(|expires| expires.saturating_sub(issued.unwrap_or(now)));
        if lifetime.zip(self.max_lifetime).is_some_and(|(lifetime, longest)| lifetime > longest) {
            return Err(ClaimProblem::LivesTooLong);
        }

        if !self.required.iter().all(|required| required.is_met(claims)) {
            return Err(ClaimProblem::Claim);
        }
        if !self.scopes.iter().all(|scope| has_scope(claims, scope)) {
            return Err(ClaimProblem::Scope);
        }
        Ok(until.map(|until| Validity { until }))
    }
}

impl Required {
    fn is_met(&self, claims: &Claims) -> bool {
        let is_one = |text: &str| self.values.iter().any(|value| **value == *text);
        match self.claim.find(claims) {
            None | Some(Value::Null) => false,
            Some(_) if self.values.is_empty() => true,
            Some(value) => texts(value).any(|text| is_one(&text)),
        }
    }
}

impl ClaimPath {
    /// The name of a claim, or a JSON Pointer (RFC 6901) into one: `/realm_access/roles`. A name that starts with `/` is
    /// written as a pointer, `/~1...`.
    pub fn new(path: &str) -> Self {
        Self(path.into())
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The claim.
    pub fn find<'a>(&self, claims: &'a Claims) -> Option<&'a Value> {
        let Some(path) = self.0.strip_prefix('/') else { return claims.get(&*self.0) };
        let (name, rest) = match path.split_once('/') {
            Some((name, _)) => (name, path.get(name.len()..).unwrap_or_default()),
            None => (path, ""),
        };
        claims.get(&*unescape(name))?.pointer(rest)
    }

    /// The claim as one text: of a string, a number or a truth value.
    pub fn text<'a>(&self, claims: &'a Claims) -> Option<Cow<'a, str>> {
        self.find(claims).and_then(text)
    }

    /// The claim as texts: its own, or those of its members.
    pub fn texts<'a>(&self, claims: &'a Claims) -> impl Iterator<Item = Cow<'a, str>> {
        self.find(claims).into_iter().flat_map(texts)
    }
}

fn unescape(name: &str) -> String {
    name.replace("~1", "/").replace("~0", "~")
}

/// RFC 7515 section 4.1.9: `application/` may be left out where no other slash is.
fn media_type(kind: &str) -> &str {
    const PREFIX: &str = "application/";
    let (start, rest) = kind.split_at_checked(PREFIX.len()).unwrap_or_default();
    if start.eq_ignore_ascii_case(PREFIX) && !rest.contains('/') { rest } else { kind }
}

fn has_scope(claims: &Claims, scope: &str) -> bool {
    let granted = ["scope", "scp"].into_iter().filter_map(|name| claims.get(name));
    granted.flat_map(strings).flat_map(|scopes| scopes.split(' ')).any(|granted| granted == scope)
}

/// A string, or the strings of a list.
fn strings(value: &Value) -> impl Iterator<Item = &str> {
    let list = value.as_array().into_iter().flatten();
    value.as_str().into_iter().chain(list.filter_map(Value::as_str))
}

fn texts(value: &Value) -> impl Iterator<Item = Cow<'_, str>> {
    let list = value.as_array().into_iter().flatten();
    text(value).into_iter().chain(list.filter_map(text))
}

fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.into()),
        Value::Number(number) => Some(number.to_string().into()),
        Value::Bool(value) => Some(if *value { "true" } else { "false" }.into()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A NumericDate (RFC 7519 section 2), which may have a fraction.
fn time(claims: &Claims, name: &str, round: fn(f64) -> f64) -> Result<Option<u64>, ClaimProblem> {
    /// 2^53: whole numbers are exact up to here.
    const END: f64 = 9_007_199_254_740_992.0;
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().map(round).filter(|seconds| (0.0..=END).contains(seconds));
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is in the range of 53 bits"
    )]
    seconds.map(|seconds| Some(seconds as u64)).ok_or(ClaimProblem::Time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use serde_json::json;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const NOW: u64 = 1_000_000;

    fn claims(value: Value) -> Claims {
        json::object(value.to_string().as_bytes(), 9).unwrap()
    }

    fn rules() -> Rules {
        Rules { issuer: Some("idp".into()), audiences: vec!["api".into()], skew: 60, ..Rules::default() }
    }

    fn check(rules: &Rules, changes: Value) -> Result<u64, ClaimProblem> {
        let mut all = claims(json!({"iss": "idp", "aud": "api", "exp": NOW + 100}));
        for (name, value) in claims(changes) {
            if value.is_null() { drop(all.remove(&name)) } else { drop(all.insert(name, value)) }
        }
        rules.check(&all, NOW).map(|validity| validity.until)
    }

    #[test]
    fn tokens_are_good_from_then_until_then() {
        use ClaimProblem::*;
        let rules = rules();
        for (changes, expected) in [
            (json!({}), Ok(NOW + 160)),
            (json!({"exp": NOW - 59}), Ok(NOW + 1)),
            (json!({"exp": NOW as f64 - 59.5}), Err(Expired)),
            (json!({"exp": NOW - 60}), Err(Expired)),
            (json!({"exp": 0}), Err(Expired)),
            (json!({"exp": null}), Err(NoExpiry)),
            (json!({"exp": "1000100"}), Err(Time)),
            (json!({"exp": -1}), Err(Time)),
            (json!({"exp": 1e300}), Err(Time)),
            (json!({"exp": [NOW]}), Err(Time)),
            (json!({"nbf": NOW + 60}), Ok(NOW + 160)),
            (json!({"nbf": NOW + 61}), Err(NotYetValid)),
            (json!({"nbf": NOW as f64 + 60.5}), Err(NotYetValid)),
            (json!({"iat": NOW + 61}), Err(NotYetValid)),
            (json!({"iat": NOW + 61, "nbf": 0}), Err(NotYetValid)),
            (json!({"iat": true}), Err(Time)),
        ] {
            assert_eq!(check(&rules, changes.clone()), expected, "{changes}");
        }
    }

    #[test]
    fn a_lifetime_has_a_bound() {
        let rules = Rules { max_lifetime: Some(100), ..rules() };
        assert_eq!(check(&rules, json!({})), Ok(NOW + 160));
        assert_eq!(check(&rules, json!({"exp": NOW + 101})), Err(ClaimProblem::LivesTooLong));
        assert_eq!(check(&rules, json!({"iat": NOW - 1})), Err(ClaimProblem::LivesTooLong));
        assert_eq!(check(&rules, json!({"iat": NOW - 50, "exp": NOW + 50})), Ok(NOW + 110));
    }

    #[test]
    fn tokens_for_others_are_not_for_us() {
        use ClaimProblem::*;
        let rules = rules();
        for (changes, expected) in [
            (json!({"iss": null}), Err(Issuer)),
            (json!({"iss": "idp/"}), Err(Issuer)),
            (json!({"iss": ["idp"]}), Err(Issuer)),
            (json!({"aud": null}), Err(Audience)),
            (json!({"aud": "API"}), Err(Audience)),
            (json!({"aud": "api other"}), Err(Audience)),
            (json!({"aud": []}), Err(Audience)),
            (json!({"aud": {"api": "api"}}), Err(Audience)),
            (json!({"aud": ["other", "api"]}), Ok(NOW + 160)),
        ] {
            assert_eq!(check(&rules, changes.clone()), expected, "{changes}");
        }
        let nobody = Rules { audiences: vec![], ..rules };
        assert_eq!(check(&nobody, json!({})), Err(Audience));
        assert_eq!(check(&nobody, json!({"aud": null})), Ok(NOW + 160));
    }

    #[test]
    fn required_claims_and_scopes_must_be_there() {
        let required = |claim, values: &[&str]| Required {
            claim: ClaimPath::new(claim),
            values: values.iter().map(|value| (*value).into()).collect(),
        };
        let rules = Rules {
            required: vec![
                required("org", &["a", "b"]),
                required("/realm/roles", &["admin"]),
                required("email_verified", &["true"]),
                required("sub", &[]),
            ],
            scopes: vec!["read".into(), "write".into()],
            ..rules()
        };
        let good = json!({
            "org": "b", "realm": {"roles": ["user", "admin"]}, "email_verified": true, "sub": "x", "scope": "read", "scp": ["write"],
        });
        assert_eq!(check(&rules, good.clone()), Ok(NOW + 160));
        for (name, value, problem) in [
            ("org", json!("c"), ClaimProblem::Claim),
            ("org", json!({"a": "a"}), ClaimProblem::Claim),
            ("realm", json!({"roles": "user"}), ClaimProblem::Claim),
            ("realm", json!([]), ClaimProblem::Claim),
            ("email_verified", json!(false), ClaimProblem::Claim),
            ("sub", Value::Null, ClaimProblem::Claim),
            ("scope", json!("readwrite"), ClaimProblem::Scope),
            ("scope", json!("READ"), ClaimProblem::Scope),
            ("scope", json!("other\tread"), ClaimProblem::Scope),
        ] {
            let mut changes = good.clone();
            changes[name] = value;
            assert_eq!(check(&rules, changes.clone()), Err(problem), "{changes}");
        }
        let mut all = good;
        all["scope"] = json!("write other read");
        all["scp"] = Value::Null;
        assert_eq!(check(&rules, all), Ok(NOW + 160));
    }

    #[test]
    fn types_are_media_types() {
        let rules = Rules { types: Types::These(vec!["at+jwt".into()]), ..Rules::default() };
        for kind in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/at+jwt"] {
            assert_eq!(rules.check_type(Some(kind)), Ok(()), "{kind}");
        }
        for kind in [None, Some("JWT"), Some("at+jwt "), Some("application/at+jwt/x"), Some("x/at+jwt")] {
            assert_eq!(rules.check_type(kind), Err(ClaimProblem::Type), "{kind:?}");
        }
        for kind in [None, Some("x")] {
            assert_eq!(Rules::default().check_type(kind), Ok(()));
        }
    }

    #[test]
    fn what_says_that_it_is_no_access_token_is_none() {
        let rules = Rules { types: Types::Usual, ..Rules::default() };
        for kind in [None, Some("JWT"), Some("jwt"), Some("JOSE"), Some("at+jwt"), Some("application/at+jwt")]
        {
            assert_eq!(rules.check_type(kind), Ok(()), "{kind:?}");
        }
        for kind in ["", "logout+jwt", "dpop+jwt", "secevent+jwt", "JWE", "application/jwt/x"] {
            assert_eq!(rules.check_type(Some(kind)), Err(ClaimProblem::Type), "{kind:?}");
        }
    }

    #[test]
    fn claims_are_found_by_name_or_pointer() {
        let claims =
            claims(json!({"a/b": 1, "c": {"d": [true, "x"]}, "https://example.com/org": "y", "/e": 2}));
        let text = |path| ClaimPath::new(path).text(&claims).map(Cow::into_owned);
        for (path, expected) in [
            ("a/b", Some("1")),
            ("/a~1b", Some("1")),
            ("/c/d/1", Some("x")),
            ("/c/d", None),
            ("c", None),
            ("https://example.com/org", Some("y")),
            ("/~1e", Some("2")),
            ("/e", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(text(path).as_deref(), expected, "{path}");
        }
        let all: Vec<_> = ClaimPath::new("/c/d").texts(&claims).collect();
        assert_eq!(all, ["true", "x"]);
    }

    #[test]
    fn introspection_need_not_tell_an_end() {
        let all = claims(json!({"aud": "api", "active": true}));
        let rules = Rules { issuer: None, ..rules() };
        assert_eq!(rules.check_introspected(&all, NOW), Ok(None));
        assert_eq!(rules.check(&all, NOW), Err(ClaimProblem::NoExpiry));
    }
}
