//! Runs a policy in Envoy, through the Proxy-Wasm ABI 0.2.1.
//!
//! A filter module is a `cdylib` crate of one line:
//!
//! ```ignore
//! meshgate_envoy_host::filter!(MyPolicy: request_head, response_head);
//! ```
//!
//! [`filter!`] exports the callbacks that are named, and no others: each export costs a crossing into the VM on every
//! request. A list that does not match [`Policy::PHASES`](meshgate_policy::policy::Policy::PHASES) does not compile, nor
//! do phases that are not sound ([`Phases::check`](meshgate_policy::policy::Phases::check)).
//!
//! # Why not the SDK
//! `proxy-wasm` 0.2.5 (the Rust SDK) exports every callback, panics on a header that is not UTF-8, on a status that it does
//! not know and on an answer whose token it has not given out itself, and its `Status` is an enum, where a number that it
//! lacks is undefined behaviour. Any of these lets one request take a worker's VM down. Its exports can't be replaced one
//! by one, so this crate speaks the ABI itself: [`abi`](self) holds all imports and the only `unsafe` of the project. The
//! benches keep a module built with the SDK as a lane of its own.
//!
//! # Shape
//! `abi` (imports) is called by `host` (one exchange's [`Host`](meshgate_policy::host::Host)), `setup` (compiling a policy)
//! and `callouts` (deadlines); `vm` holds all contexts of one VM and turns Envoy's callbacks into calls on a
//! [`Drive`](meshgate_policy::drive::Drive), which knows what a callback means for a policy.

mod abi;
mod callouts;
mod host;
mod logger;
mod protobuf;
mod setup;
mod vm;

pub use vm::{Action, Vm};

#[doc(hidden)]
pub mod export {
    //! What [`filter!`](crate::filter) expands to; not for use by hand.
    pub use meshgate_policy::host::Side;
    pub use meshgate_policy::policy::{Phases, Policy};

    /// Memory that the proxy fills with what it returns.
    pub fn allocate(size: usize) -> *mut u8 {
        crate::abi::allocate(size)
    }

    /// Compares what a module exports with what its policy needs.
    pub const fn same(exported: &Phases, needed: &Phases) -> bool {
        exported.request_head == needed.request_head
            && exported.request_body == needed.request_body
            && exported.request_trailers == needed.request_trailers
            && exported.response_head == needed.response_head
            && exported.response_body == needed.response_body
            && exported.response_trailers == needed.response_trailers
            && exported.callout == needed.callout
            && exported.log == needed.log
            && exported.end == needed.end
    }
}

/// Makes a module of a policy: `filter!(PolicyType: phase, phase, ...)`, with the phases of
/// [`Policy::PHASES`](meshgate_policy::policy::Policy::PHASES) by their field names.
#[macro_export]
macro_rules! filter {
    ($policy:ty $(: $($phase:ident),+)?) => {
        thread_local! {
            static VM: $crate::Vm<$policy> = $crate::Vm::new();
        }

        const _: () = {
            #[allow(unused_mut, reason = "a policy may have no phases")]
            let mut exported = $crate::export::Phases::NONE;
            $($(exported.$phase = true;)+)?
            assert!(
                $crate::export::same(&exported, &<$policy as $crate::export::Policy>::PHASES),
                "the exported phases are not the policy's PHASES"
            );
            if let Err(missing) = exported.check() {
                panic!("{}", missing);
            }
        };

        // What the module is, in a section of its own: `meshgate-filter-dlp 0.1.0`. Proxies skip it, `meshgate image` reads it.
        const _: () = {
            const IDENTITY: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));
            #[used]
            #[cfg_attr(target_family = "wasm", unsafe(link_section = "meshgate"))]
            static SECTION: [u8; IDENTITY.len()] = match IDENTITY.as_bytes().first_chunk() {
                Some(bytes) => *bytes,
                None => panic!("a text is as long as it is"),
            };
        };

        unsafe extern "C" {
            // Made by the linker: runs the constructors of the C library. A module that calls it itself is not wrapped
            // in calls to it at every export.
            fn __wasm_call_ctors();
        }

        #[unsafe(no_mangle)]
        extern "C" fn _initialize() {
            unsafe { __wasm_call_ctors() };
        }

        #[unsafe(no_mangle)]
        extern "C" fn proxy_abi_version_0_2_1() {}

        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
            $crate::export::allocate(size)
        }

        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_context_create(context: u32, parent: u32) {
            VM.with(|vm| vm.create(context, parent));
        }

        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_configure(context: u32, size: usize) -> u32 {
            VM.with(|vm| vm.configure(context, size)).into()
        }

        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_delete(context: u32) {
            VM.with(|vm| vm.delete(context));
        }

        $($($crate::filter_export!($phase);)+)?
    };
}

/// The exports of one phase.
#[doc(hidden)]
#[macro_export]
macro_rules! filter_export {
    (request_head) => { $crate::filter_export!(@head proxy_on_request_headers Request); };
    (request_body) => { $crate::filter_export!(@body proxy_on_request_body Request); };
    (request_trailers) => { $crate::filter_export!(@trailers proxy_on_request_trailers Request); };
    (response_head) => { $crate::filter_export!(@head proxy_on_response_headers Response); };
    (response_body) => { $crate::filter_export!(@body proxy_on_response_body Response); };
    (response_trailers) => { $crate::filter_export!(@trailers proxy_on_response_trailers Response); };
    // With the context itself, whose deletion every module hears of.
    (end) => {};
    (log) => {
        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_log(context: u32) {
            VM.with(|vm| vm.log(context));
        }
    };
    (callout) => {
        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_tick(_root: u32) {
            VM.with(|vm| vm.tick());
        }

        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_http_call_response(
            _root: u32,
            token: u32,
            fields: usize,
            body: usize,
            _trailers: usize,
        ) {
            VM.with(|vm| vm.http_answer(token, fields, body));
        }

        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_grpc_receive(_root: u32, token: u32, size: usize) {
            VM.with(|vm| vm.grpc_answer(token, size));
        }

        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_grpc_close(_root: u32, token: u32, status: u32) {
            VM.with(|vm| vm.grpc_close(token, status));
        }
    };
    (@head $export:ident $side:ident) => {
        #[unsafe(no_mangle)]
        extern "C" fn $export(context: u32, _fields: usize, end: u32) -> u32 {
            VM.with(|vm| vm.head(context, $crate::export::Side::$side, end != 0)) as u32
        }
    };
    (@body $export:ident $side:ident) => {
        #[unsafe(no_mangle)]
        extern "C" fn $export(context: u32, size: usize, end: u32) -> u32 {
            VM.with(|vm| vm.body(context, $crate::export::Side::$side, size, end != 0)) as u32
        }
    };
    (@trailers $export:ident $side:ident) => {
        #[unsafe(no_mangle)]
        extern "C" fn $export(context: u32, _fields: usize) -> u32 {
            VM.with(|vm| vm.trailers(context, $crate::export::Side::$side)) as u32
        }
    };
}
