//! What a provider or the gateway offers.

/// One model of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelInfo {
    /// Its name, without `models/`.
    pub id: String,
    /// A name for people.
    pub display_name: Option<String>,
    /// Seconds since 1970.
    pub created: Option<u64>,
    /// Who made it.
    pub owned_by: Option<String>,
    /// Context window in tokens.
    pub context: Option<u64>,
    /// Output limit in tokens.
    pub max_output: Option<u64>,
}
