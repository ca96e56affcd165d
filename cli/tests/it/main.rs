//! The binary as people use it. Nothing but the binary itself is called.
// `cfg(test)` is always true here; clippy wants to see it before it takes the modules for tests.

#[cfg(test)]
mod commands;
#[cfg(test)]
mod crash;
#[cfg(test)]
#[cfg(unix)]
mod killed;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod money;
#[cfg(test)]
mod process;
#[cfg(test)]
mod profiles;
#[cfg(test)]
mod service;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod vault;
