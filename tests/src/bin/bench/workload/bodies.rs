//! Bodies of answers.

use std::fmt::Write as _;

/// A JSON document of about this size, with nothing sensitive in it: records as APIs return them, and behind them the value
/// `state` that the lanes edit.
pub fn json(size: usize) -> String {
    let mut random = Random(7);
    let mut text = String::from(r#"{"items":["#);
    for number in 0.. {
        let item = item(number, &mut random);
        if text.len() + item.len() + END.len() > size {
            break;
        }
        if number > 0 {
            text.push(',');
        }
        text += &item;
    }
    text + END
}

const END: &str = r#"],"total":4711,"state":"open"}"#;

fn item(number: u64, random: &mut Random) -> String {
    const WORDS: [&str; 12] = [
        "amber", "bicycle", "carbon", "drill", "engine", "flask", "gloves", "hinge", "inlet", "joint",
        "kettle", "lamp",
    ];
    let mut word = || WORDS[random.below(WORDS.len() as u64) as usize];
    let (first, second, third) = (word(), word(), word());
    let (price, stock) = (random.below(100_000), random.below(500));
    let id = format!("{:08x}-{:04x}", random.below(1 << 32), random.below(1 << 16));
    format!(
        "{{\"id\":\"{id}\",\"number\":{number},\"name\":\"{first} {second}\",\"price\":{}.{:02},\"stock\":{stock},\
         \"tags\":[\"{first}\",\"{third}\"],\"updated\":\"2026-03-{:02}T{:02}:{:02}:{:02}Z\",\"active\":true,\
         \"text\":\"A {second} of {third}, \\u00e9prouv\\u00e9; see /catalog/{first}/{number}\"}}",
        price / 100,
        price % 100,
        1 + random.below(28),
        random.below(24),
        random.below(60),
        random.below(60),
    )
}

/// A JSON string of this size that is nothing but digits, in runs as cards, phones and account numbers have them.
pub fn digits(size: usize) -> String {
    let mut random = Random(11);
    flood(size, |text| {
        for _ in 0..1 + random.below(19) {
            let _ = write!(text, "{}", random.below(10));
        }
        text.push([' ', '-', ',', '.'][random.below(4) as usize]);
    })
}

/// A JSON string of this size that is nothing but base64, as a file in a document is.
pub fn base64(size: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut random = Random(13);
    flood(size, |text| text.push(ALPHABET[random.below(64) as usize].into()))
}

/// A JSON string of this size, if that is even, that is nothing but backslashes: each second one escapes the next.
pub fn backslashes(size: usize) -> String {
    flood(size, |text| text.push_str(if text.len() % 2 == 1 { "x" } else { r"\\" }))
}

fn flood(size: usize, mut more: impl FnMut(&mut String)) -> String {
    let mut text = String::from(r#"{"data":""#);
    while text.len() < size - 2 {
        more(&mut text);
    }
    text.truncate(size - 2);
    text + r#""}"#
}

/// The same numbers in each run (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

#[cfg(test)]
mod tests {
    use meshgate_e2e::Value;

    use super::*;

    #[test]
    fn bodies_are_json_of_their_size() {
        for size in [10 << 10, 100 << 10] {
            for body in [json(size), digits(size), base64(size), backslashes(size)] {
                assert!(body.len() <= size && body.len() > size - 400, "{}", body.len());
                assert!(serde_json::from_str::<Value>(&body).is_ok());
            }
            assert_eq!(serde_json::from_str::<Value>(&json(size)).unwrap()["state"], "open");
        }
    }
}
