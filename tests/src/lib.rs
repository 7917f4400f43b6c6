//! End-to-end tests: a real Envoy between a real client and a real upstream, on the loopback interface only.
//!
//! A test says what is special about it, and the rest comes with [`Envoy`]:
//!
//! ```no_run
//! use meshgate_e2e::{Envoy, json};
//!
//! #[tokio::test(flavor = "multi_thread")]
//! async fn a_request_without_a_key_is_refused() {
//!     let config = json!({ "keys_from": [{ "header": "x-api-key" }] });
//!     let envoy = Envoy::with_filter("api_key_quota", config).await.unwrap();
//!     let response = envoy.get("/v1/users").header("accept", "*/*").send().await.unwrap();
//!     assert_eq!(response.status, 401);
//!     assert!(envoy.upstream().requests().is_empty());
//! }
//! ```
//!
//! - [`Config`], [`Listener`] and [`Wasm`] build the bootstrap; [`Config::file`] takes one from the workspace.
//! - [`Upstream`] echoes what it got, or answers with a [`Reply`]; [`Request::upstream`] says so for one request.
//! - [`Client`] speaks HTTP/1.1 and HTTP/2; [`raw()`], [`RawConnection`] and [`RawUpstream`] speak bytes.
//! - [`burst`] sends in parallel.
//!
//! Tests run on several threads (`flavor = "multi_thread"`), so that the upstream answers while a test computes; they
//! unwrap, because a panic is what keeps Envoy's log.

pub mod admin;
mod client;
mod config;
mod envoy;
mod files;
mod filter;
mod launch;
mod message;
pub mod paths;
pub mod process;
mod raw;
mod upstream;

pub use client::{Aborted, Client, OpenResponse, Request, burst};
pub use config::{Config, Listener};
pub use envoy::Envoy;
pub use files::FileServer;
pub use filter::{Filter, Wasm, lua, typed_filter};
pub use http_body_util::channel::Sender;
pub use launch::envoy_command;
pub use message::{Fields, Received, Response};
pub use raw::{RawConnection, RawUpstream, raw};
pub use serde_json::{Value, json};
pub use upstream::{REMOTE_CONTROL, Reply, Upstream};
