//! Scripted mock providers.
