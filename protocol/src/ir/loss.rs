//! What a target could not carry.

use std::borrow::Cow;

use crate::ApiFormat;

/// One field or part that was dropped or weakened while encoding to `to`. Reported to the caller and kept in the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Where it stood, in the words of the unified model: `sampling.top_k`, `messages[3].parts[0].signature`, `extras.foo`.
    pub field: Cow<'static, str>,
    /// The format that has no place for it.
    pub to: ApiFormat,
    /// Why, as a lowercase fragment: `has no equivalent`, `signature belongs to another provider`.
    pub why: Cow<'static, str>,
}

impl Loss {
    /// A loss with its reason.
    pub fn new(field: impl Into<Cow<'static, str>>, to: ApiFormat, why: impl Into<Cow<'static, str>>) -> Self {
        Self { field: field.into(), to, why: why.into() }
    }

    /// The commonest reason: the target has no such field.
    pub fn no_equivalent(field: impl Into<Cow<'static, str>>, to: ApiFormat) -> Self {
        Self::new(field, to, "has no equivalent")
    }
}
