//! The configuration file: `myelin.toml`, the environment over it, flags over both.
