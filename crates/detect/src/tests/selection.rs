#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::{DEFAULT_PACKS, Kind};

#[test]
fn packs_and_names() {
    let names = |selector| Kind::select(selector).unwrap().into_iter().map(Kind::name).collect::<Vec<_>>();
    assert_eq!(names("us"), ["us.ssn", "us.itin", "us.ein"]);
    assert_eq!(names("payment.card"), ["payment.card"]);
    assert_eq!(Kind::packs().collect::<Vec<_>>(), ["payment", "us", "secrets", "contact", "network"]);
    assert!(DEFAULT_PACKS.iter().all(|pack| Kind::select(pack).is_ok()));
    assert_eq!(Kind::parse("us.ssn").unwrap().pack(), "us");
    assert!(Kind::parse("us").is_err());
}

#[test]
fn the_table_is_sound() {
    let mut names: Vec<_> = Kind::all().map(Kind::name).collect();
    for kind in Kind::all() {
        let (weakest, strongest) = kind.confidence();
        assert!(weakest <= strongest && strongest <= 100, "{kind}");
        assert!(kind.name().split_once('.').is_some() && !kind.description().is_empty(), "{kind}");
        let detector = kind.detector().unwrap();
        assert!(detector.context.raise.is_sorted() && detector.context.lower.is_sorted(), "{kind}");
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn what_is_unknown_names_what_was_meant() {
    let error = |name| Kind::select(name).unwrap_err().to_string();
    assert_eq!(
        error("payment.cards"),
        "nothing is known by the name \"payment.cards\"; did you mean \"payment.card\"? \
         The packs are \"payment\", \"us\", \"secrets\", \"contact\", \"network\""
    );
    assert!(error("iban").contains("did you mean \"payment.iban\"?"));
    assert!(error("secret").contains("did you mean \"secrets\"?"));
    assert!(!error("zzz").contains("did you mean"));
}
