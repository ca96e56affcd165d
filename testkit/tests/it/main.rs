//! The mock providers seen from outside: what they refuse, how they break off, what they remember.
// `cfg(test)` is always true here; clippy wants to see it before it takes the modules for tests.

#[cfg(test)]
mod delivery;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod support;
