//! Cards, accounts and US numbers.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{found, sure};

/// Numbers of every brand, as bare digits and as printed.
const CARDS: &[&str] = &[
    "4111111111111111",
    "4111 1111 1111 1111",
    "4111-1111-1111-1111",
    "4111.1111.1111.1111",
    "4111\u{a0}1111\u{a0}1111\u{a0}1111",
    "4539 5787 6362 1486",
    "4222 2222 2222 2",
    "5555555555554444",
    "5105 1051 0510 5100",
    "2223003122003222",
    "2720 9925 9318 0063",
    "378282246310005",
    "3714 496353 98431",
    "6011111111111117",
    "6011-0009-9013-9424",
    "6445644564456445",
    "3530111333300000",
    "3566 0020 2036 0505",
    "30569309025904",
    "3622 720627 1667",
    "6200000000000005",
    "6205 5000 0000 0000 004",
    "2200 7700 0000 0002",
    "6759 6498 2643 8453",
    "5019717010103742",
];

/// The number with its last digit one higher.
fn one_off(number: &str) -> String {
    let (rest, last) = number.split_at(number.len() - 1);
    format!("{rest}{}", (last.parse::<u8>().unwrap() + 1) % 10)
}

#[test]
fn cards_of_every_brand() {
    for card in CARDS {
        let confident = found("payment.card", card);
        assert_eq!(confident.len(), 1, "{card}");
        assert_eq!(confident[0].0, *card);
        for around in [["\"", "\""], ["(", ")"], ["pay ", "."], ["n:", ","], ["卡号", "。"], ["\\n", "\\n"]]
        {
            let text = around.join(card);
            let all = found("payment.card", &text);
            assert_eq!(all.iter().map(|(value, _)| *value).collect::<Vec<_>>(), [*card], "{text}");
        }
        assert_eq!(sure("payment.card", &one_off(card)), None, "{card}");
    }
}

#[test]
fn rare_lengths_need_a_name() {
    for card in ["4222222222222", "6759649826438453", "501800000009"] {
        assert_eq!(sure("payment.card", card), None, "{card}");
        for key in ["card", "cardNumber", "credit_card", "CARD-NO", "PAN"] {
            assert_eq!(sure("payment.card", &format!("{{\"{key}\": \"{card}\"}}")), Some(card), "{key}");
        }
    }
}

#[test]
fn cards_end_where_they_end() {
    for text in [
        "41111111111111111",
        "a4111111111111111",
        "4111111111111111a",
        "_4111111111111111",
        "4111-1111 1111-1111",
        "4111  1111  1111  1111",
        "41 11 11 11 11 11 11 11",
        "0.4111111111111111",
        "-12.4111111111111111",
        "4111111111111111.25",
        "4111111111111111.05",
        "4111111111111111E1",
        "4111111111111111E0a",
        "4111111111111111e",
        "4111111111111111.0e-",
        "4111111111111111.0.5",
        "53453520.00000005",
        "41111111.11111111",
        "4111 1111 1111 1112",
        "9111111111111111",
        "1234567812345670",
    ] {
        assert_eq!(found("payment.card", text), [], "{text}");
    }
}

/// As JSON has them that was written from floating-point numbers.
#[test]
fn cards_may_be_whole_numbers_with_a_fraction_or_an_exponent() {
    for zeros in [".0", ".00", "E0", "e+00", "E-0", ".0E0", ".", ".000000000000", ".0, 1", ".0.\n"] {
        let text = format!("4111111111111111{zeros}");
        assert_eq!(sure("payment.card", &text), Some("4111111111111111"), "{text}");
    }
}

#[test]
fn values_with_one_byte_between_are_all_found() {
    for separator in [",", ";", " ", "\n", "|", "/", "\t", ":", "-", ".", "\"", "&", "="] {
        let text =
            ["4111111111111111", "5555555555554444", "378282246310005", "4111111111111111"].join(separator);
        assert_eq!(found("payment.card", &text).len(), 4, "{separator:?}");
    }
    let spaced = ["4111 1111 1111 1111"; 4].join(" ");
    assert_eq!(found("payment.card", &spaced).len(), 4);
    for separator in [",", ";", " ", "\n", "|", "/"] {
        let text = ["536-22-3456", "219-09-9998", "536-22-3457"].join(separator);
        assert_eq!(found("us.ssn", &text).len(), 3, "{separator:?}");
        let text = ["a@example.com", "b@example.com", "c@example.com"].join(separator);
        assert_eq!(found("contact.email", &text).len(), 3, "{separator:?}");
        let text = ["8.8.8.8", "9.9.9.9", "1.1.1.1"].join(separator);
        assert_eq!(found("network.ip", &text).len(), 3, "{separator:?}");
        let text = ["DE89370400440532013000", "NO9386011117947", "GB82WEST12345698765432"].join(separator);
        assert_eq!(found("payment.iban", &text).len(), 3, "{separator:?}");
    }
}

#[test]
fn test_cards_are_told_apart() {
    let samples = |text: &str| {
        super::scan(&super::scanner(&["payment.card"]), text.as_bytes(), crate::Syntax::Text)
            .iter()
            .map(|finding| finding.sample)
            .collect::<Vec<_>>()
    };
    assert_eq!(samples("4242 4242 4242 4242, 4539 5787 6362 1486"), [true, false]);
    assert_eq!(samples("5555555555554444"), [true]);
}

#[test]
fn tracks_are_found_whole() {
    for track in [
        ";4111111111111111=25121010000012300000?",
        ";378282246310005=251210100000123?",
        "%B4111111111111111^DOE/JOHN^25121010000012300000?",
    ] {
        assert_eq!(sure("payment.track", &format!("x{track}x")), Some(track));
        // The track has the card's number in it: one finding.
        assert_eq!(found("payment", track), [(track, 98)]);
    }
    assert_eq!(found("payment.track", ";4111111111111112=25121010000012300000?"), []);
    assert_eq!(found("payment.track", ";4111111111111111=25?"), []);
}

/// The account number with the check digits that ISO 7064 wants.
fn iban(country: &str, account: &str) -> String {
    let digits: String =
        format!("{account}{country}00").chars().map(|char| char.to_digit(36).unwrap().to_string()).collect();
    let rest = digits.bytes().fold(0_u64, |rest, digit| (rest * 10 + u64::from(digit - b'0')) % 97);
    format!("{country}{:02}{account}", 98 - rest)
}

fn spaced(iban: &str, separator: &str) -> String {
    let groups: Vec<&str> = iban.as_bytes().chunks(4).map(|group| str::from_utf8(group).unwrap()).collect();
    groups.join(separator)
}

#[test]
fn accounts_of_every_country() {
    let mut countries = 0;
    for (country, account) in crate::detectors::iban_examples() {
        countries += 1;
        let iban = iban(&country, &account);
        for text in [
            iban.clone(),
            iban.to_lowercase(),
            spaced(&iban, " "),
            spaced(&iban, "-"),
            spaced(&iban, "\u{a0}"),
        ] {
            assert_eq!(sure("payment.iban", &text), Some(text.as_str()), "{text}");
            assert_eq!(sure("payment.iban", &format!("\"{text}\",")), Some(text.as_str()), "{text}");
        }
        // Another check digit, a digit too few, one too many.
        let (head, tail) = iban.split_at(3);
        let other = (tail[..1].parse::<u8>().unwrap() + 1) % 10;
        assert_eq!(found("payment.iban", &format!("{head}{other}{}", &tail[1..])), [], "{iban}");
        assert_eq!(found("payment.iban", &iban[..iban.len() - 1]), [], "{iban}");
        assert_eq!(found("payment.iban", &format!("{iban}1")), [], "{iban}");
    }
    assert!(countries > 80);
}

#[test]
fn accounts_as_banks_print_them() {
    for known in [
        "GB82 WEST 1234 5698 7654 32",
        "DE89 3704 0044 0532 0130 00",
        "FR14 2004 1010 0505 0001 3M02 606",
        "MT84MALT011000012345MTLCAST001S",
        "NO9386011117947",
        "SA0380000000608010167519",
        "BR9700360305000010009795493P1",
    ] {
        assert_eq!(sure("payment.iban", &format!("IBAN: {known}")), Some(known));
    }
    for text in [
        "XX82WEST12345698765432",
        "De89370400440532013000",
        "DE89 37040044 0532013000",
        "ADE89370400440532013000",
    ] {
        assert_eq!(found("payment.iban", text), [], "{text}");
    }
}

#[test]
fn social_security_numbers() {
    for text in ["536-22-3456", "001-01-0001", "899-99-9999", "665-22-3456"] {
        assert_eq!(sure("us.ssn", &format!("my number is {text}.")), Some(text));
    }
    for text in [
        "000-22-3456",
        "666-22-3456",
        "900-22-3456",
        "987-65-4320",
        "536-00-3456",
        "536-22-0000",
        "078-05-1120",
        "219-09-9999",
        "457-55-5462",
        "123-45-6789",
        "111-11-1111",
        "536-22-34567",
        "1536-22-3456",
        "536-22 3456",
        "12-536-22-3456",
        "536-22-3456-1",
        "53-622-3456",
    ] {
        assert_eq!(found("us.ssn", text), [], "{text}");
    }
    // With spaces, or without anything, a name must say so.
    for text in ["536 22 3456", "536223456", "536.22.3456"] {
        assert_eq!(sure("us.ssn", text), None);
        for named in [
            "SSN: ",
            "\"ssn\":\"",
            "\"ssn\": ",
            "ssn=",
            "social_security_number=",
            "{\"taxId\":\"",
            "my SSN is ",
        ] {
            assert_eq!(sure("us.ssn", &format!("{named}{text}\"")), Some(text), "{named}");
        }
    }
}

#[test]
fn other_taxpayer_numbers() {
    for text in ["912-70-1234", "999-88-1234", "950-50-1234"] {
        assert_eq!(sure("us.itin", text), Some(text));
        assert_eq!(sure("us", text), Some(text));
    }
    for text in ["912-66-1234", "912-89-1234", "912-93-1234", "812-70-1234"] {
        assert_eq!(found("us.itin", text), [], "{text}");
    }
    assert_eq!(sure("us.itin", "{\"itin\":912701234}"), Some("912701234"));
    for text in ["12-3456789", "91-1144442"] {
        assert_eq!(sure("us.ein", text), None);
        assert_eq!(sure("us.ein", &format!("EIN {text}")), Some(text));
        assert_eq!(sure("us.ein", &format!("\"employer_id\": \"{text}\"")), Some(text));
    }
    for text in ["EIN 07-3456789", "EIN 89-3456789", "EIN 12-34567890", "EIN 12 3456789", "EIN 112-3456789"] {
        assert_eq!(sure("us.ein", text), None, "{text}");
    }
}
