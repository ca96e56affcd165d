//! One JSON value a line.
