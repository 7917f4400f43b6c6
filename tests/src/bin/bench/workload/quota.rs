//! API keys and limits, for each of the filters that know them.

use std::fmt::Write as _;

use meshgate_e2e::{Value, json};
use sha2::{Digest as _, Sha256};

use super::KEY;

/// How many consumers there are, each with one key.
const CONSUMERS: usize = 100;
/// More than a bench sends.
const PER_SECOND: u64 = 1_000_000;
const PER_MONTH: u64 = 999_999_999_999;

/// What a plan is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Limits {
    None,
    /// A rate and a monthly quota.
    Two,
    /// A quota in any hour.
    Sliding,
    /// Requests at the same time.
    Concurrency,
    /// A rate of each address: in the table.
    PerIp,
}

/// The configuration of the quota filter: what is not said is its default.
pub fn quota(limits: Limits) -> Value {
    let consumers: Vec<_> = (0..CONSUMERS)
        .map(|number| {
            let key = json!({ "id": key_id(number), "sha256": hex(&Sha256::digest(key(number))) });
            json!({ "name": name(number), "plan": "bench", "keys": [key] })
        })
        .collect();
    json!({ "plans": { "bench": { "limits": limits.config() } }, "consumers": consumers })
}

impl Limits {
    fn config(self) -> Value {
        let rate = format!("{PER_SECOND}/s");
        match self {
            Self::None => json!([]),
            Self::Two => json!([
                { "name": "burst", "rate": rate },
                { "name": "monthly", "quota": format!("{PER_MONTH}/month") },
            ]),
            Self::Sliding => {
                json!([{ "name": "hourly", "quota": format!("{PER_MONTH}/h"), "window": "sliding" }])
            }
            Self::Concurrency => json!([{ "name": "open", "concurrency": PER_SECOND }]),
            Self::PerIp => json!([{ "name": "address", "rate": rate, "per": "ip" }]),
        }
    }
}

/// The configuration with so many keys, [`KEY`] among them; `None`: as many as a document of 16 MiB holds, which is the
/// largest that loads. Returns how many those are.
pub fn keys(number: Option<usize>) -> (String, usize) {
    const MOST: usize = 16 << 20;
    const END: &str = "]}]}";
    let mut text =
        String::from(r#"{"plans":{"bench":{}},"consumers":[{"name":"bench","plan":"bench","keys":["#);
    for count in 0.. {
        let comma = if count > 0 { "," } else { "" };
        let digest = hex(&Sha256::digest(key(count)));
        let entry = format!(r#"{comma}{{"id":"k{count}","sha256":"{digest}"}}"#);
        if number == Some(count) || text.len() + entry.len() + END.len() > MOST {
            return (text + END, count);
        }
        text += &entry;
    }
    unreachable!("the document is full before the numbers end");
}

/// How many files of keys were fetched, by all threads.
pub const FETCHED: &str = "wasmcustom.meshgate.quota.keys.fetched";

/// The configuration whose keys are all in a file, which this cluster has.
pub fn key_file(cluster: &str) -> Value {
    let file = json!({ "name": "bench", "cluster": cluster, "path": "/keys.jsonl", "identity": { "plan": "bench" } });
    json!({ "plans": { "bench": {} }, "consumers": [], "key_files": [file] })
}

/// A file of so many keys, [`KEY`] among them, each of a consumer of its own.
pub fn lines(number: usize) -> String {
    let mut text = String::with_capacity(number * 130);
    for count in 0..number {
        let digest = hex(&Sha256::digest(key(count)));
        let _ = writeln!(text, r#"{{"id":"key-{count:07}","consumer":"c-{count:07}","sha256":"{digest}"}}"#);
    }
    text
}

/// The configuration for clients without number: a limit of each address, and one of failures to authenticate. No client
/// of the bench exceeds them.
pub fn flood() -> Value {
    let mut config = quota(Limits::PerIp);
    config["client_ip"] = json!({ "trusted_hops": 1 });
    config["failed_auth"] = json!({ "rate": format!("{PER_SECOND}/s") });
    config
}

/// The configuration of Envoy's `api_key_auth`.
pub fn key_auth() -> Value {
    let credentials: Vec<_> =
        (0..CONSUMERS).map(|number| json!({ "key": key(number), "client": name(number) })).collect();
    json!({
        "credentials": credentials,
        "key_sources": [{ "header": KEY.0 }],
        "forwarding": { "header": "x-consumer-name", "hide_credentials": true },
    })
}

/// The configuration of Envoy's `local_ratelimit`: one descriptor made of the key, with a bucket of its own.
pub fn token_bucket() -> Value {
    let bucket = json!({ "max_tokens": PER_SECOND, "tokens_per_fill": PER_SECOND, "fill_interval": "1s" });
    let always = json!({ "default_value": { "numerator": 100, "denominator": "HUNDRED" } });
    let action = json!({ "request_headers": { "header_name": KEY.0, "descriptor_key": "key" } });
    let descriptor = json!({ "entries": [{ "key": "key", "value": KEY.1 }], "token_bucket": bucket });
    json!({
        "stat_prefix": "local_ratelimit",
        "token_bucket": bucket,
        "filter_enabled": always,
        "filter_enforced": always,
        "rate_limits": [{ "actions": [action] }],
        "descriptors": [descriptor],
    })
}

/// The work of the quota filter in Lua, as far as Lua goes: keys are in the script in plain text, each worker counts for
/// itself, a key in two fields is not noticed, and there are no metrics.
pub fn script() -> String {
    let mut keys = String::new();
    for number in 0..CONSUMERS {
        let (key, name, id) = (key(number), name(number), key_id(number));
        let _ =
            writeln!(keys, "  [\"{key}\"] = {{ name = \"{name}\", plan = \"bench\", key_id = \"{id}\" }},");
    }
    SCRIPT
        .replace("KEYS", &keys)
        .replace("PER_SECOND", &PER_SECOND.to_string())
        .replace("PER_MONTH", &PER_MONTH.to_string())
}

const SCRIPT: &str = r#"
local consumers = {
KEYS}
local rate, quota = PER_SECOND, PER_MONTH
local policy = '"burst";q=PER_SECOND;w=1, "monthly";q=PER_MONTH;w=2592000'
local usage = {}

local function end_of_month(now)
  local date = os.date("!*t", now)
  return os.time({ year = date.year, month = date.month + 1, day = 1, hour = 0 })
end

local function refuse(handle, status)
  handle:respond({ [":status"] = status, ["content-type"] = "application/problem+json" }, "{}")
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local key = headers:get("x-api-key")
  local consumer = key and consumers[key]
  if not consumer then
    return refuse(handle, "401")
  end

  local now = handle:timestamp() / 1000
  local used = usage[consumer.name]
  if not used then
    used = { full_at = 0, month_ends = 0, count = 0 }
    usage[consumer.name] = used
  end
  if now >= used.month_ends then
    used.month_ends, used.count = end_of_month(now), 0
  end
  local full_at = math.max(used.full_at, now) + 1 / rate
  if full_at - now > 1 or used.count >= quota then
    return refuse(handle, "429")
  end
  used.full_at, used.count = full_at, used.count + 1

  headers:remove("x-api-key")
  headers:replace("x-consumer-name", consumer.name)
  headers:replace("x-consumer-plan", consumer.plan)
  headers:replace("x-consumer-key-id", consumer.key_id)
  local left = math.floor((1 - (full_at - now)) * rate)
  local state = string.format('"burst";r=%d;t=1, "monthly";r=%d;t=%d',
    left, quota - used.count, math.ceil(used.month_ends - now))
  handle:streamInfo():dynamicMetadata():set("bench", "ratelimit", state)
end

function envoy_on_response(handle)
  local state = handle:streamInfo():dynamicMetadata():get("bench")
  if state then
    local headers = handle:headers()
    headers:replace("ratelimit-policy", policy)
    headers:replace("ratelimit", state["ratelimit"])
  end
end
"#;

/// The key of a consumer; that of the last is [`KEY`].
/// The key of this number.
pub fn key(number: usize) -> String {
    let stem = KEY.1.trim_end_matches(char::is_numeric);
    format!("{stem}{number:02}")
}

fn name(number: usize) -> String {
    format!("consumer-{number}")
}

fn key_id(number: usize) -> String {
    format!("consumer-{number}-key")
}

fn hex(digest: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    digest.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_consumer_has_the_key_of_the_requests() {
        assert_eq!(key(CONSUMERS - 1), KEY.1);
    }

    #[test]
    fn the_largest_document_is_full() {
        let (text, number) = keys(None);
        assert!(text.len() <= 16 << 20 && text.len() > (16 << 20) - 120, "{}", text.len());
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["consumers"][0]["keys"].as_array().unwrap().len(), number);
        assert_eq!(keys(Some(1_000)).1, 1_000);
    }
}
