//! stub
/// stub
pub fn raise(name: &str, current: Option<u64>, needed: u64) -> Option<String> {
    (current.is_none_or(|c| c < needed)).then(|| format!("`sysctl -w {name}={needed}`"))
}
/// stub
pub fn notrack(port: u16) -> String {
    format!("`nft {port}`")
}
