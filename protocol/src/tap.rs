//! (arrives with the framing work)
