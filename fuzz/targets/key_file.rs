#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| meshgate_properties::property("key_file")(bytes));
