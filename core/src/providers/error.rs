//! Why a channel cannot be used.

/// Why a channel cannot be used as it is configured. Every message can be shown to its owner; none holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// An override cannot be made.
    #[error("its overrides cannot be made: {0}")]
    Override(String),
    /// Its certificates cannot be read.
    #[error("its certificates (ca) cannot be read: {0}")]
    Ca(String),
    /// The catalog has no such row.
    #[error(
        "provider `{0}` is not in the catalog; for any other address take openai-compatible, anthropic-compatible or gemini-compatible"
    )]
    UnknownProvider(String),
    /// An address that cannot be used.
    #[error("address {0}")]
    Address(String),
    /// The provider has no address of its own.
    #[error("provider `{0}` needs a base_url")]
    NoAddress(String),
    /// The provider's address needs an option.
    #[error("option `{0}` is missing or is no plain word")]
    Option(String),
    /// A secret that cannot be found.
    #[error("credential {position} ({source_text}): {why}")]
    Secret {
        /// Position, from 1.
        position: usize,
        /// Where it should come from.
        source_text: String,
        /// Why it is not there.
        why: String,
    },
    /// A credential of the wrong shape.
    #[error("credential {position}: {why}")]
    Credential {
        /// Position, from 1.
        position: usize,
        /// What is wrong.
        why: String,
    },
    /// The provider needs a credential and the channel has none.
    #[error("a credential is missing (people keep it in {0})")]
    NoCredential(String),
    /// A header that cannot be sent.
    #[error("header `{0}` cannot be sent")]
    Header(String),
    /// Fields of a dialect that do not exist.
    #[error("dialect: {0}")]
    Dialect(String),
    /// A format that the provider does not speak.
    #[error("provider `{provider}` does not speak `{format}`")]
    Format {
        /// The provider.
        provider: String,
        /// The format.
        format: String,
    },
    /// Asked for something that the provider does not have.
    #[error("provider `{provider}` has no {what}")]
    NotOffered {
        /// The provider.
        provider: String,
        /// What it lacks.
        what: &'static str,
    },
    /// The address is the gateway itself, or one that no provider has.
    #[error("address `{host}` is refused: {why}")]
    Refused {
        /// The host.
        host: String,
        /// Why.
        why: &'static str,
    },
    /// A token could not be had, or a request not be signed.
    #[error("{0}")]
    Authorize(String),
}
