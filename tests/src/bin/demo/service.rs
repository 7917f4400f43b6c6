//! The service behind the demo's Envoy: it answers with the request that it got, and on a few paths as services do that one
//! wants a gateway in front of.

use meshgate_e2e::{Received, Reply};

/// How it answers; `None`: with the request.
pub fn answer(request: &Received) -> Option<Reply> {
    let path = request.path.split('?').next().unwrap_or_default();
    let json = |body: &'static str| Reply::status(200).header("content-type", "application/json").body(body);
    match (request.method.as_str(), path) {
        ("GET", "/users/7") => Some(json(USER).header("x-powered-by", "PHP/5.6.40")),
        ("GET", "/payments/7") => Some(json(PAYMENT)),
        ("GET", "/broken") => Some(Reply::status(500).header("content-type", "text/plain").body(STACK_TRACE)),
        _ => None,
    }
}

const USER: &str = r#"{
  "id": 7,
  "fullName": "Ada Lovelace",
  "email": "ada@example.com",
  "roles": ["author", "admin"],
  "balance": 12.50,
  "_internal": {"shard": 3, "passwordHash": "$2y$10$wK1vV0eZ3b5p"}
}
"#;

const PAYMENT: &str = r#"{
  "id": 7,
  "amount": 19.90,
  "card": {"holder": "Ada Lovelace", "number": "4111 1111 1111 1111"},
  "ssn": "524-71-3806",
  "receipt": "sent to ada@example.com",
  "aws_key": "AKIAQ3EGRIMDJK7X2ZSV"
}
"#;

const STACK_TRACE: &str =
    "java.lang.IllegalStateException: no connection to jdbc:postgresql://10.2.3.4:5432/orders
\tat com.example.orders.Store.load(Store.java:42)
\tat com.example.orders.Api.get(Api.java:17)
Caused by: java.net.ConnectException: Connection refused
\tat java.base/sun.nio.ch.Net.connect0(Native Method)
";
