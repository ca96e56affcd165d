//! Recorded traffic: every provider there has a row, its addresses are what we build, its failures mean what we say.
