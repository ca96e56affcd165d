//! The `myelin` binary.

fn main() {}
