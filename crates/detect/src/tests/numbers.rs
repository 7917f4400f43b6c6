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
    "8212345678901238",    // RuPay
    "5085001234567894",    // RuPay
    "8600123456789012",    // UzCard
    "5614123456789012",    // UzCard
    "9860123456789015",    // Humo
    "9704123456789015",    // NAPAS
    "9704123456789012345", // NAPAS
    "9682013456789014",    // mada
    "9112123456789011",    // Belkart
    "9051123456789014",    // ArCa
    "9417123456789013",    // Elcard
    "9891123456789018",    // DinaCard
    "9804123456789014",    // Prostir
    "2205123456789014",    // Borica
    "1946123456789010",    // GPN
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
    // The last two: UATP, T-Union.
    let rare =
        ["4222222222222", "6759649826438453", "501800000009", "100123456789014", "3123456789012345678"];
    for card in rare {
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
        "8300000000000000",
        "9705123456789014",
        "9861123456789014",
        "86001234567890127",
        "9682123456789011",
        "9113123456789010",
        "1947123456789019",
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

/// The examples of the countries in the IBAN registry that SWIFT publishes for ISO 13616, in the order of their codes.
const REGISTRY: [&str; 89] = [
    "AD1200012030200359100100",
    "AE070331234567890123456",
    "AL47212110090000000235698741",
    "AT611904300234573201",
    "AZ21NABZ00000000137010001944",
    "BA391290079401028494",
    "BE68539007547034",
    "BG80BNBG96611020345678",
    "BH67BMAG00001299123456",
    "BI4210000100010000332045181",
    "BR1800360305000010009795493C1",
    "BY13NBRB3600900000002Z00AB00",
    "CH9300762011623852957",
    "CR05015202001026284066",
    "CY17002001280000001200527600",
    "CZ6508000000192000145399",
    "DE89370400440532013000",
    "DJ2100010000000154000100186",
    "DK5000400440116243",
    "DO28BAGR00000001212453611324",
    "EE382200221020145685",
    "EG380019000500000000263180002",
    "ES9121000418450200051332",
    "FI2112345600000785",
    "FK88SC123456789012",
    "FO6264600001631634",
    "FR1420041010050500013M02606",
    "GB29NWBK60161331926819",
    "GE29NB0000000101904917",
    "GI75NWBK000000007099453",
    "GL8964710001000206",
    "GR1601101250000000012300695",
    "GT82TRAJ01020000001210029690",
    "HN88CABF00000000000250005469",
    "HR1210010051863000160",
    "HU42117730161111101800000000",
    "IE29AIBK93115212345678",
    "IL620108000000099999999",
    "IQ98NBIQ850123456789012",
    "IS140159260076545510730339",
    "IT60X0542811101000000123456",
    "JO94CBJO0010000000000131000302",
    "KW81CBKU0000000000001234560101",
    "KZ86125KZT5004100100",
    "LB62099900000001001901229114",
    "LC55HEMM000100010012001200023015",
    "LI21088100002324013AA",
    "LT121000011101001000",
    "LU280019400644750000",
    "LV80BANK0000435195001",
    "LY83002048000020100120361",
    "MC5811222000010123456789030",
    "MD24AG000225100013104168",
    "ME25505000012345678951",
    "MK07250120000058984",
    "MN121234123456789123",
    "MR1300020001010000123456753",
    "MT84MALT011000012345MTLCAST001S",
    "MU17BOMM0101101030300200000MUR",
    "NI45BAPR00000013000003558124",
    "NL91ABNA0417164300",
    "NO9386011117947",
    "OM810180000001299123456",
    "PK36SCBL0000001123456702",
    "PL61109010140000071219812874",
    "PS92PALS000000000400123456702",
    "PT50000201231234567890154",
    "QA58DOHB00001234567890ABCDEFG",
    "RO49AAAA1B31007593840000",
    "RS35260005601001611379",
    "RU0304452522540817810538091310419",
    "SA0380000000608010167519",
    "SC18SSCB11010000000000001497USD",
    "SD2129010501234001",
    "SE4550000000058398257466",
    "SI56263300012039086",
    "SK3112000000198742637541",
    "SM86U0322509800000000270100",
    "SO211000001001000100141",
    "ST23000100010051845310146",
    "SV62CENR00000000000000700025",
    "TL380080012345678910157",
    "TN5910006035183598478831",
    "TR330006100519786457841326",
    "UA213223130000026007233566001",
    "VA59001123000012345678",
    "VG96VPVG0000012345678901",
    "XK051212012345678906",
    "YE15CBYE0001018861234567891234",
];

fn spaced(iban: &str, separator: &str) -> String {
    let groups: Vec<&str> = iban.as_bytes().chunks(4).map(|group| str::from_utf8(group).unwrap()).collect();
    groups.join(separator)
}

#[test]
fn accounts_of_every_country() {
    for iban in REGISTRY {
        for text in [
            iban.to_owned(),
            iban.to_lowercase(),
            spaced(iban, " "),
            spaced(iban, "-"),
            spaced(iban, "\u{a0}"),
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
}

/// A country that only the table knows has no example here.
#[test]
fn every_country_has_an_example() {
    let countries = REGISTRY.map(|iban| &iban[..2]);
    assert!(countries.is_sorted());
    assert!(crate::detectors::iban_countries().eq(countries.map(str::as_bytes)));
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
