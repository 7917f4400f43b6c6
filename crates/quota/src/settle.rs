//! What remains to be done for a request that was counted: its cost may be known only when its response has passed, it may
//! not be charged for this status, and it is no longer in flight once its stream has ended.

use std::rc::Rc;

use meshgate_policy::grpc::GrpcStatus;
use meshgate_policy::headers::Headers;
use meshgate_policy::host::{Host, HostError, Map, Side};
use meshgate_policy::matching::number_of;

use crate::Quota;
use crate::accounts::{Account, Accounts, Place};
use crate::cost::Late;
use crate::events::Events;
use crate::limit::Usage;
use crate::meter::{NumberAt, Pointer};
use crate::metrics::Event;
use crate::plan::{Counted, Limit, Plan, Usages};
use crate::rate_limit::Fields;

/// How much of a body is copied at once.
const SLICE: usize = 64 * 1024;

/// What remains to be done.
#[derive(Debug)]
pub struct Unsettled {
    plan: Rc<Plan>,
    accounts: Vec<Place<'static>>,
    counted: Counted,
    usages: Usages,
    entries: Vec<Entry>,
    /// Bytes of the heads, and of trailers of the response. When an exchange ends the proxy has let go of them, and tells how
    /// large the bodies were.
    request_fields: u64,
    response_fields: u64,
    /// What the head of a response says of gRPC while something may follow it: that counts unless trailers say something.
    grpc_status: Option<GrpcStatus>,
}

/// For one limit.
#[derive(Debug)]
struct Entry {
    /// Its place in the plan, and that of its account.
    limit: usize,
    account: usize,
    /// What was used when it had counted the request, which cost so much.
    charged: Usage,
    cost: u64,
    /// Reads the cost in the body of the response.
    meter: Option<Meter>,
    settled: bool,
}

#[derive(Debug)]
enum Meter {
    Json(NumberAt),
    Events(Events),
}

/// How what was counted changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    TakeBack(u64),
    Add(u64),
}

impl Unsettled {
    /// Of a request that was counted. `None`: nothing remains.
    pub fn new(plan: &Rc<Plan>, accounts: Accounts<'_>, counted: &Counted, usages: &Usages) -> Option<Self> {
        let mut entries = Vec::new();
        for (index, limit, cost) in plan.counting(counted) {
            let charged = usages.get(index).copied().flatten();
            if let Some(charged) = charged.filter(|_| remains(limit)) {
                let account = accounts.number(index);
                entries.push(Entry { limit: index, account, charged, cost, meter: None, settled: false });
            }
        }
        (!entries.is_empty()).then(|| Self {
            plan: Rc::clone(plan),
            accounts: accounts.into_places(),
            counted: counted.clone(),
            usages: usages.clone(),
            entries,
            request_fields: 0,
            response_fields: 0,
            grpc_status: None,
        })
    }

    /// The head of the request, as its client sent it.
    pub fn saw_request(&mut self, headers: &Headers) {
        self.request_fields = size_of_fields(headers);
    }

    /// Whether the trailers of the response are part of a cost.
    pub fn asks_for_response_size(&self) -> bool {
        self.limits().any(|(_, limit)| limit.cost.late() == Some(&Late::ResponseBytes))
    }

    /// Whether the body of the response tells a cost.
    pub fn asks_for_body(&self) -> bool {
        self.entries.iter().any(|entry| self.pointer(entry).is_some())
    }

    fn asks_for_status(&self) -> bool {
        self.limits().any(|(_, limit)| limit.charged.asks_for_status())
    }

    /// What is not settled, with its limit.
    fn limits(&self) -> impl Iterator<Item = (usize, &Limit)> {
        let open = self.entries.iter().enumerate().filter(|(_, entry)| !entry.settled);
        open.filter_map(|(number, entry)| Some((number, self.plan.limit(entry.limit)?)))
    }

    fn pointer(&self, entry: &Entry) -> Option<&Pointer> {
        match self.plan.limit(entry.limit)?.cost.late()? {
            Late::ResponseJson(pointer) if !entry.settled => Some(pointer),
            _ => None,
        }
    }

    /// Looks at the head of a response. Returns whether the body is to be read.
    fn prepare(&mut self, headers: &Headers) -> bool {
        let Some(kind) = kind_of(headers) else { return false };
        let meters: Vec<_> = self
            .entries
            .iter()
            .map(|entry| {
                let pointer = self.pointer(entry)?.clone();
                Some(match kind {
                    Kind::Json => Meter::Json(NumberAt::new(pointer)),
                    Kind::Events => Meter::Events(Events::new(pointer)),
                })
            })
            .collect();
        let reads = meters.iter().any(Option::is_some);
        self.entries.iter_mut().zip(meters).for_each(|(entry, meter)| entry.meter = meter);
        reads
    }

    fn asks_for_trailers(&self) -> bool {
        self.limits().any(|(_, limit)| limit.charged.asks_for_grpc_status())
    }

    /// What changes for those whose response has these: they are not charged.
    fn uncharged(&self, status: Option<u16>, grpc_status: Option<GrpcStatus>) -> Vec<(usize, Change)> {
        let uncharged = self.limits().filter(|(_, limit)| !limit.charged.stays(status, grpc_status));
        uncharged.filter_map(|(number, _)| Some((number, Change::TakeBack(self.cost(number)?)))).collect()
    }

    fn cost(&self, number: usize) -> Option<u64> {
        self.entries.get(number).map(|entry| entry.cost)
    }
}

/// Whether anything may remain to be done for a limit that has counted a request.
fn remains(limit: &Limit) -> bool {
    limit.rule.counts_streams() || limit.cost.late().is_some() || limit.charged.asks_for_status()
}

impl Quota {
    /// The response begins. What is not charged for its status is taken back, so that the client reads of it in `fields`.
    /// `end`: it is nothing but a head. Returns whether its body is to be read.
    pub(crate) fn settle_head(
        &self,
        host: &mut dyn Host,
        unsettled: &mut Unsettled,
        fields: &mut Option<Fields>,
        end: bool,
    ) -> bool {
        let sized = unsettled.asks_for_response_size();
        if !sized && !unsettled.asks_for_status() && !unsettled.asks_for_body() {
            return false;
        }
        let headers = match host.headers(Map::ResponseHeaders) {
            Ok(headers) => headers,
            Err(error) => {
                self.failed_to_settle(host, error);
                return false;
            }
        };
        unsettled.response_fields = size_of_fields(&headers);
        let status = headers.first(":status").and_then(number_of);
        unsettled.grpc_status = grpc_status(&headers);
        let final_grpc_status = unsettled.grpc_status.take_if(|_| end);
        let changes = unsettled.uncharged(status, final_grpc_status);
        if !changes.is_empty() {
            self.apply(host, unsettled, &changes);
            let now = host.now().as_nanos();
            *fields =
                self.telling.fields(&unsettled.plan.told(&unsettled.counted, &unsettled.usages, now)).ok();
        }
        unsettled.prepare(&headers)
    }

    /// A part of the body of the response passes: so many bytes.
    pub(crate) fn settle_body(&self, host: &mut dyn Host, unsettled: &mut Unsettled, size: usize) {
        for start in (0..size).step_by(SLICE) {
            let bytes = match host.body(Side::Response, start, SLICE.min(size.saturating_sub(start))) {
                Ok(bytes) => bytes,
                Err(error) => return self.failed_to_settle(host, error),
            };
            for entry in &mut unsettled.entries {
                match &mut entry.meter {
                    Some(Meter::Json(json)) => json.read(&bytes),
                    Some(Meter::Events(events)) => events.read(&bytes),
                    None => {}
                }
            }
        }
    }

    /// The trailers of the response pass: they are a part of its size, and of gRPC they have its status.
    pub(crate) fn settle_trailers(&self, host: &mut dyn Host, unsettled: &mut Unsettled) {
        if !unsettled.asks_for_trailers() && !unsettled.asks_for_response_size() {
            return;
        }
        match host.headers(Map::ResponseTrailers) {
            Ok(trailers) => {
                let size = size_of_fields(&trailers);
                unsettled.response_fields = unsettled.response_fields.saturating_add(size);
                let in_head = unsettled.grpc_status.take();
                let changes = unsettled.uncharged(None, grpc_status(&trailers).or(in_head));
                self.apply(host, unsettled, &changes);
            }
            Err(error) => self.failed_to_settle(host, error),
        }
    }

    /// The stream has ended, completed or not.
    pub(crate) fn settle_end(&self, host: &mut dyn Host, unsettled: &mut Unsettled) {
        if let Some(in_head) = unsettled.grpc_status.take() {
            let changes = unsettled.uncharged(None, Some(in_head));
            self.apply(host, unsettled, &changes);
        }
        let mut changes = Vec::new();
        let mut unknown = 0_u32;
        let plan = Rc::clone(&unsettled.plan);
        for (number, entry) in unsettled.entries.iter_mut().enumerate().filter(|(_, entry)| !entry.settled) {
            let Some(limit) = plan.limit(entry.limit) else { continue };
            if limit.rule.counts_streams() {
                changes.push((number, Change::TakeBack(entry.cost)));
                continue;
            }
            let cost = match limit.cost.late() {
                Some(Late::RequestBytes) => size(host, ["request", "total_size"], unsettled.request_fields),
                Some(Late::ResponseBytes) => {
                    size(host, ["response", "total_size"], unsettled.response_fields)
                }
                Some(Late::ResponseJson(_)) => entry.meter.as_mut().and_then(Meter::finish),
                None => continue,
            };
            match cost.map(|cost| (cost.checked_sub(entry.cost), entry.cost.saturating_sub(cost))) {
                Some((Some(0), _)) => {}
                Some((Some(more), _)) => changes.push((number, Change::Add(more))),
                Some((None, less)) => changes.push((number, Change::TakeBack(less))),
                None => unknown = unknown.saturating_add(1),
            }
        }
        for _ in 0..unknown {
            self.metrics.count(host, Event::CostUnknown);
        }
        self.apply(host, unsettled, &changes);
    }

    /// Changes what was counted. What can't be changed stays as it is.
    fn apply(&self, host: &mut dyn Host, unsettled: &mut Unsettled, changes: &[(usize, Change)]) {
        let now = host.now().as_nanos();
        let Unsettled { plan, accounts, usages, entries, .. } = unsettled;
        for (entry, change) in changes {
            let limit = entries.get(*entry).and_then(|entry| plan.limit(entry.limit));
            let name = limit.map_or("", |limit| &*limit.name);
            match change {
                Change::TakeBack(cost) => host.detail(format_args!("limit {name}: {cost} taken back")),
                Change::Add(cost) => host.detail(format_args!("limit {name}: {cost} more")),
            }
        }
        for (place, number) in accounts.iter().zip(0_usize..) {
            let mut here = Vec::new();
            for (entry, change) in changes {
                let entry = entries.get_mut(*entry).filter(|entry| entry.account == number);
                if let Some(entry) = entry {
                    entry.settled = true;
                    here.push((entry.limit, entry.charged, *change));
                }
            }
            if here.is_empty() {
                continue;
            }
            let changed = self.update(host, &mut Account::new(place.clone()), now, |account| {
                for (index, charged, change) in &here {
                    let Some(limit) = plan.limit(*index) else { continue };
                    let used = limit.usage_in(account);
                    let usage = match *change {
                        Change::TakeBack(cost) => limit.rule.refund(used, *charged, cost, now),
                        Change::Add(cost) => limit.rule.charge_late(used, now, cost),
                    };
                    plan.set_in(account, *index, usage, now);
                    if let Some(told) = usages.get_mut(*index) {
                        *told = Some(usage);
                    }
                }
            });
            if let Err(error) = changed {
                self.failed_to_settle(host, error);
            }
        }
    }

    fn failed_to_settle(&self, host: &mut dyn Host, error: HostError) {
        log::error!("what a request cost can't be settled: {error}");
        self.metrics.count(host, Event::Error);
    }
}

impl Meter {
    fn finish(&mut self) -> Option<u64> {
        match self {
            Self::Json(json) => json.finish(),
            Self::Events(events) => events.finish(),
        }
    }
}

/// What a body is that a number can be read in.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A JSON text, or several.
    Json,
    /// Server-sent events.
    Events,
}

/// `None`: nothing can be read in it, or not as it is.
fn kind_of(headers: &Headers) -> Option<Kind> {
    let plain = headers.all("content-encoding").all(|coding| coding.eq_ignore_ascii_case(b"identity"));
    let content_type = headers.first("content-type").filter(|_| plain)?;
    let essence = content_type.split(|byte| *byte == b';').next()?.trim_ascii().to_ascii_lowercase();
    match essence.as_slice() {
        b"text/event-stream" => Some(Kind::Events),
        b"application/json" | b"application/x-ndjson" | b"application/jsonl" => Some(Kind::Json),
        other => other.ends_with(b"+json").then_some(Kind::Json),
    }
}

/// The status of gRPC in the head or the trailers of a response. One that gRPC does not know is its `UNKNOWN`.
fn grpc_status(headers: &Headers) -> Option<GrpcStatus> {
    let field = headers.first("grpc-status")?;
    GrpcStatus::from_field(field).or_else(|| GrpcStatus::named("UNKNOWN"))
}

/// A number of bytes that the proxy has counted, and that of the fields that it no longer has.
fn size(host: &mut dyn Host, path: [&str; 2], fields: u64) -> Option<u64> {
    let bytes = host.property(&path).ok()??;
    bytes.try_into().ok().map(|bytes| u64::from_le_bytes(bytes).saturating_add(fields))
}

/// As Envoy counts them: names and values, and nothing between them.
fn size_of_fields(fields: &Headers) -> u64 {
    let sizes = fields.iter().map(|(name, value)| name.len().saturating_add(value.len()));
    sizes.fold(0, |all, size| all.saturating_add(u64::try_from(size).unwrap_or(u64::MAX)))
}
