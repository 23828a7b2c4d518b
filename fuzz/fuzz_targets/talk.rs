#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ringshot_fuzz::talk::run(data));
