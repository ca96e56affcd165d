//! AWS binary event stream.
