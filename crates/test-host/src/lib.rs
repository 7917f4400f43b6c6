//! A host in memory, so that all of a policy's behaviour is tested without a proxy.
//!
//! A [`World`] is one proxy: its clock, which only tests move, the values that its workers share, its metrics, and what
//! the clusters answer that policies call out to. A [`Worker`] is a policy compiled there from the document that a user
//! writes; several of them share the world as Envoy's workers do. A [`Conversation`] takes one exchange through the
//! world, part by part or at once, and its [`Outcome`] is what upstream and client got.
//!
//! It keeps to what Envoy does with a WebAssembly filter, as far as a policy can tell: a body that is held is shown whole
//! at the next callback, with trailers no part of a body is its end, a section that has been passed on is gone, a module
//! gets no callback that it does not export. Since Envoy may cut a body anywhere, [`chunkings`] checks that no cut
//! changes what comes out.
//!
//! [`Documents`] compares the code with the page, the example and the schema that a filter comes with, and makes each mistake
//! that can be made in each field.
//!
//! ```
//! # use meshgate_policy::exchange::{Exchange, Next, Reply};
//! # use meshgate_policy::headers::HeaderName;
//! # use meshgate_policy::host::{Host, HostError, Map};
//! # struct NeedsKey;
//! # impl Exchange for NeedsKey {
//! #     fn request_head(&mut self, host: &mut dyn Host, _end: bool) -> Result<Next, HostError> {
//! #         let key = host.first_header(Map::RequestHeaders, &HeaderName::constant("x-api-key"))?;
//! #         Ok(if key.is_some() { Next::Continue } else { Next::Reply(Box::new(Reply::new(401, "no_key"))) })
//! #     }
//! # }
//! use meshgate_test_host::{Message, World};
//!
//! let world = World::new();
//! let hello = Message::response(200).with_body("hello");
//!
//! let refused = world.begin(NeedsKey).run(&Message::get("/"), &hello);
//! assert_eq!((refused.status(), refused.details), (401, Some("no_key")));
//! assert_eq!(refused.upstream, None);
//!
//! let passed = world.begin(NeedsKey).run(&Message::get("/").with("x-api-key", "k"), &hello);
//! assert_eq!((passed.status(), passed.answer().text()), (200, "hello"));
//! ```

mod callouts;
mod chunks;
mod documents;
mod host;
mod message;
mod mistakes;
mod outcome;
mod random;
mod reply;
mod run;
mod script;
mod worker;
mod world;

pub use callouts::{Planned, SentGrpc, SentHttp, http_answer};
pub use chunks::{Chunking, Ending, chunkings};
pub use documents::{Documents, literals};
pub use message::{Fields, Message};
pub use outcome::{Client, Outcome};
pub use run::Conversation;
pub use script::{Event, Scripted};
pub use worker::Worker;
pub use world::{Operation, World};
