//! The binary as people use it. Nothing but the binary itself is called.
// `cfg(test)` is always true here; clippy wants to see it before it takes the modules for tests.

#[cfg(test)]
mod commands;
#[cfg(test)]
#[cfg(unix)]
mod killed;
#[cfg(test)]
mod process;
#[cfg(test)]
mod profiles;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod vault;
