//! vla
fn main() {}
