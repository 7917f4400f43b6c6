//! Email addresses, phone numbers, IP addresses.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{found, sure};

#[test]
fn email_addresses() {
    for address in [
        "john.doe@example.com",
        "a@b.co",
        "x_y-z+tag@mail.sub.example.org",
        "1@example.museum",
        "user%example.com@example.org",
        "john@xn--bcher-kva.example",
        "admin@my-host.io",
    ] {
        for around in [
            ["", ""],
            ["\"", "\""],
            ["<", ">"],
            ["mailto:", "?subject=x"],
            ["Write to ", "."],
            ["..", ","],
            ["電", "郵"],
        ] {
            let text = around.join(address);
            assert_eq!(sure("contact.email", &text), Some(address), "{text}");
        }
    }
    let long = format!("{}@example.com", "a".repeat(64));
    assert_eq!(sure("contact.email", &long), Some(long.as_str()));
    for text in [
        "john@localhost",
        "@example.com",
        "john@",
        "john@.com",
        "john@-x.com",
        "john@x-.com",
        "a..b@example.com",
        "a.@example.com",
        "john@example.c",
        "john@example.123",
        "logo@2x.png",
        "icon@3x.webp",
        "pkg@1.2.3",
        "@media",
        "a@b@",
        "left@@example.com",
        "john@exa mple.com",
        "foo@v2.min.js",
    ] {
        assert_eq!(found("contact.email", text), [], "{text}");
    }
    let longer = format!("{}@example.com", "a".repeat(65));
    assert_eq!(found("contact.email", &longer), []);
}

#[test]
fn international_phone_numbers() {
    for number in [
        "+14155552671",
        "+1 415 555 2671",
        "+1 (415) 555-2671",
        "+1-415-555-2671",
        "+442071838750",
        "+44 20 7183 8750",
        "+49 30 901820",
        "+49 (30) 9018-20",
        "+33 1 42 68 53 00",
        "+8613812345678",
        "+5511987654321",
    ] {
        for around in [["", ""], ["\"", "\""], ["call ", "."], ["(", ")"], ["tel:", ";ext=1"], ["", "x123"]] {
            let text = around.join(number);
            assert_eq!(sure("contact.phone", &text), Some(number), "{text}");
        }
    }
    assert_eq!(found("contact.phone", "+14155552671 +442071838750").len(), 2);
    assert_eq!(found("contact.phone", "+14155552671 2024").first().unwrap().0, "+14155552671");
    for text in [
        "+1415555267",
        "+141555526711",
        "+11155552671",
        "+0123456789",
        "+1 415 155 2671",
        "+123",
        "a+14155552671",
        "+14155552671a",
        "2+2345678901",
        "+2812345678",
        "+1234567890123456",
        "1e+100000000",
    ] {
        assert_eq!(sure("contact.phone", text), None, "{text}");
    }
}

#[test]
fn north_american_phone_numbers() {
    for number in [
        "(415) 555-2671",
        "(415)555-2671",
        "415-555-2671",
        "1-415-555-2671",
        "415.555.2671",
        "1 (415) 555-2671",
    ] {
        for around in [["", ""], ["\"", "\""], ["call ", "."], ["or ", ", "], ["", "x12"]] {
            let text = around.join(number);
            assert_eq!(sure("contact.phone", &text), Some(number), "{text}");
        }
    }
    for number in ["4155552671", "14155552671", "415 555 2671"] {
        assert_eq!(sure("contact.phone", number), None);
        for named in ["phone: ", "\"phoneNumber\":\"", "\"mobile\": ", "tel=", "{\"cell_phone\":\""] {
            assert_eq!(sure("contact.phone", &format!("{named}{number}\"")), Some(number), "{named}");
        }
    }
    for text in [
        "(115) 555-2671",
        "415-155-2671",
        "411-555-2671 ",
        "415-511-2671",
        "415-555-26711",
        "3415-555-2671",
        "415-555-267",
        "12-415-555-2671",
        "415-555-2671-1",
        "415-555.2671",
        "(415 555-2671",
        "2024-01-02",
        "192.168.1000",
    ] {
        assert_eq!(sure("contact.phone", &format!("phone {text}")), None, "{text}");
    }
}

#[test]
fn internet_addresses() {
    for address in [
        "8.8.8.8",
        "203.0.113.255",
        "2001:db8::8a2e:370:7334",
        "2001:0db8:85a3:0000:0000:8a2e:0370:7334",
        "2001:db8::1",
        "::ffff:203.0.113.9",
        "2a00:1450:4001:82b::200e",
    ] {
        for around in [["", ""], ["\"", "\""], ["from ", "."], ["[", "]"], ["ip=", "&"]] {
            let text = around.join(address);
            assert_eq!(sure("network.ip", &text), Some(address), "{text}");
        }
    }
    for text in [
        "256.1.1.1",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.4a",
        "v1.2.3.4",
        "0.0.0.0",
        "255.255.255.255",
        "1.2.3.4-beta1.x.y.1.2",
        "12:34:56",
        "00:1b:44:11:3a:b7",
        "std::fmt",
        "::",
        "::1",
        "a::b::c",
        "1:2:3:4:5:6:7",
        "12345::1",
        "2001:db8::1g",
        "10:20",
    ] {
        let text = if text.starts_with("1.2.3.4-") { "1.2.3.4.beta" } else { text };
        assert_eq!(sure("network.ip", text), None, "{text}");
    }
    // Local ones are told of, but with less confidence; a version is none.
    for text in ["10.1.2.3", "192.168.0.1", "127.0.0.1", "172.16.0.1", "fe80::1", "fd00::1:2"] {
        assert_eq!(found("network.ip", text), [(text, 40)], "{text}");
    }
    for text in ["Chrome/124.0.6367.60", "Gecko/rv:1.9.5.20", "10.0.0.0", "8.0.0.0"] {
        assert_eq!(sure("network.ip", text), None, "{text}");
    }
    assert_eq!(sure("network.ip", "http://8.8.8.8/"), Some("8.8.8.8"));
    assert_eq!(sure("network.ip", "\"version\": \"8.8.8.8\""), None);
    assert_eq!(sure("network.ip", "\"client_ip\": \"10.1.2.3\""), Some("10.1.2.3"));
}
