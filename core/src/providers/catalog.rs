//! The provider catalog: one row a vendor, read from `catalog.toml` once.

use std::sync::{Arc, OnceLock};

use myelin_protocol::ApiFormat;
use myelin_protocol::formats::embeddings::EmbeddingFormat;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::classify::ErrorRule;
use super::pattern::Pattern;

/// Every vendor that Myelin knows by name, and the three `…-compatible` rows for all others.
#[derive(Debug)]
pub struct Catalog {
    providers: Vec<Arc<Provider>>,
}

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    provider: Vec<Provider>,
}

/// Why a catalog cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("provider catalog: {0}")]
pub struct CatalogError(String);

impl Catalog {
    /// The catalog that is built in. A row that cannot be read is a fault of the build, found by a test; at run time it is an empty catalog.
    pub fn builtin() -> &'static Catalog {
        static BUILTIN: OnceLock<Catalog> = OnceLock::new();
        BUILTIN.get_or_init(|| {
            Self::parse(include_str!("catalog.toml")).unwrap_or_else(|_| Self { providers: Vec::new() })
        })
    }

    /// Reads a catalog; an unknown field is an error.
    pub fn parse(text: &str) -> Result<Self, CatalogError> {
        let file: File = toml::from_str(text).map_err(|error| CatalogError(error.to_string()))?;
        Ok(Self { providers: file.provider.into_iter().map(Arc::new).collect() })
    }

    /// The row of a vendor.
    pub fn get(&self, id: &str) -> Option<&Arc<Provider>> {
        self.providers.iter().find(|provider| provider.id == id)
    }

    /// Every row, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.providers.iter()
    }
}

/// One vendor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Provider {
    /// Lower case; for ever, it stands in people's files.
    pub id: String,
    /// For people.
    pub name: String,
    /// Where its API is described; `None` for the `…-compatible` rows.
    #[serde(default)]
    pub docs: Option<String>,
    /// Environment variables in which people keep its key, for hints.
    #[serde(default)]
    pub keys: Vec<String>,
    /// Address as its users write it; `{name}` is an option of the channel.
    pub base_url: String,
    /// `base_url` only shows how to write one: every channel must have its own.
    #[serde(default)]
    pub needs_address: bool,
    /// Whether a channel may have no credential.
    #[serde(default)]
    pub keyless: bool,
    /// Where the key goes.
    #[serde(default)]
    pub auth: AuthStyle,
    /// Vendors whose addresses or keys need code.
    #[serde(default)]
    pub site: Site,
    /// Column of the table of `anthropic-beta` values that its Claude takes; `None`: the host is nobody's that the table knows.
    #[serde(default)]
    pub betas: Option<String>,
    /// What it speaks, the preferred one first; empty for those that only embed and rerank.
    pub endpoints: Vec<Endpoint>,
    /// Embeddings, if it has any.
    #[serde(default)]
    pub embeddings: Option<Embeddings>,
    /// Reranking, if it has any.
    #[serde(default)]
    pub rerank: Option<Rerank>,
    /// OpenAI-shaped surfaces beside conversations that are passed through.
    #[serde(default)]
    pub surfaces: Vec<Surface>,
    /// How models are listed.
    #[serde(default)]
    pub models: Option<ModelList>,
    /// How some models differ from the endpoint's dialect; the first whose pattern fits counts.
    #[serde(default)]
    pub overrides: Vec<ModelOverride>,
    /// Failures that mean something else here than everywhere.
    #[serde(default)]
    pub errors: Vec<ErrorRule>,
    /// Headers that every request carries.
    #[serde(default)]
    pub headers: Map<String, Value>,
    /// Defaults of the channel's options (`region`, `location` …).
    #[serde(default)]
    pub options: Map<String, Value>,
    /// A small model to test a channel with, when the channel lists none.
    #[serde(default)]
    pub test_model: Option<String>,
    /// What people should know when they set up a channel.
    #[serde(default)]
    pub notes: Option<String>,
}

impl Provider {
    /// The formats that it speaks without being asked, the preferred one first.
    pub fn formats(&self) -> impl Iterator<Item = ApiFormat> {
        self.endpoints.iter().filter(|endpoint| !endpoint.optional && !endpoint.resumes).map(|endpoint| endpoint.format)
    }
}

impl Provider {
    /// Whether anything of it takes `model`, when a channel asks for `formats` only (`None`: for all that are not optional).
    pub fn serves(&self, formats: Option<&[&str]>, model: &str) -> bool {
        let wanted = |endpoint: &&Endpoint| match formats {
            Some(formats) => formats.contains(&endpoint.format.as_str()),
            None => !endpoint.optional,
        };
        let takes = |endpoint: &Endpoint| {
            (endpoint.models.is_empty() || Pattern::any(&endpoint.models, model))
                && !Pattern::any(&endpoint.except, model)
        };
        // What lies beside conversations takes any name; whether it is a model for that, only the provider knows.
        let aside = self.embeddings.is_some() || self.rerank.is_some() || !self.surfaces.is_empty();
        let converses = self.endpoints.iter().filter(wanted).any(takes);
        converses || aside && !self.endpoints.iter().any(takes)
    }
}

/// Where the key goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthStyle {
    /// `Authorization: Bearer KEY`.
    #[default]
    Bearer,
    /// `x-api-key: KEY`.
    XApiKey,
    /// `api-key: KEY`, or `Authorization: Bearer` if the credential is an Entra token.
    ApiKey,
    /// `x-goog-api-key: KEY`.
    XGoogApiKey,
    /// `?key=KEY`.
    Query,
    /// AWS Signature Version 4, or `Authorization: Bearer` if the credential is a Bedrock API key.
    Sigv4,
    /// A Google token of a service account, or `x-goog-api-key` if the credential is an API key.
    Gcp,
    /// No key at all.
    None,
}

/// Vendors whose addresses need code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Site {
    /// Addresses are base and path.
    #[default]
    Plain,
    /// Three shapes of addresses: deployments with an API version, `/openai/v1`, Foundry's `/models`.
    Azure,
    /// Projects and locations, `global` among them; API keys have addresses without a project.
    Vertex,
}

/// One format that a vendor speaks.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Endpoint {
    /// The format.
    pub format: ApiFormat,
    /// Its own address, where it is not the vendor's.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Path after the address; `None` takes the format's usual one.
    #[serde(default)]
    pub path: Option<String>,
    /// Path for streams, where it differs from `path`.
    #[serde(default)]
    pub stream_path: Option<String>,
    /// Path that counts tokens. `None` takes the format's usual one if `count` is set.
    #[serde(default)]
    pub count_path: Option<String>,
    /// It can count tokens.
    #[serde(default)]
    pub count: bool,
    /// Where the key goes, if not where the vendor's usually does.
    #[serde(default)]
    pub auth: Option<AuthStyle>,
    /// The models that it serves; empty: all.
    #[serde(default)]
    pub models: Vec<Pattern>,
    /// Models that it does not serve.
    #[serde(default)]
    pub except: Vec<Pattern>,
    /// Models for which it is taken before endpoints above it, when the caller's format is none of the vendor's.
    #[serde(default)]
    pub prefer: Vec<Pattern>,
    /// Only where the channel asks for it (`options.formats`).
    #[serde(default)]
    pub optional: bool,
    /// It is only asked to go on with an answer that broke off elsewhere.
    #[serde(default)]
    pub resumes: bool,
    /// Responses: the host stores no answers, whatever it is asked: conversations that go on by id are kept here.
    #[serde(default)]
    pub stateless: bool,
    /// How it differs from the inventor of the wire: fields of [`myelin_protocol::Dialect`].
    #[serde(default)]
    pub dialect: Map<String, Value>,
}

/// How some models differ.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ModelOverride {
    /// Which models.
    pub models: Vec<Pattern>,
    /// At which endpoint; `None`: all.
    #[serde(default)]
    pub format: Option<ApiFormat>,
    /// Fields of the dialect that differ.
    pub dialect: Map<String, Value>,
}

/// Where embeddings are made.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Embeddings {
    /// How they are written.
    pub wire: EmbeddingFormat,
    /// Its own address, where it is not the vendor's.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Path after the address; may hold `{model}`.
    pub path: String,
    /// How many inputs one request may have; `None`: no known limit.
    #[serde(default)]
    pub batch: Option<u32>,
    /// How it differs from the inventor of the wire: fields of [`myelin_protocol::Dialect`].
    #[serde(default)]
    pub dialect: Map<String, Value>,
}

/// How a vendor's reranking is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RerankWire {
    /// `results[].relevance_score`, `meta.billed_units` (Cohere; Together, Azure and Bedrock are like it).
    Cohere,
    /// `results[].relevance_score`, `usage.total_tokens` (Jina, vLLM, llama.cpp, SiliconFlow).
    Jina,
    /// `data[].relevance_score`, `top_k` (Voyage).
    Voyage,
}

/// Where documents are reranked.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rerank {
    /// How it is written.
    pub wire: RerankWire,
    /// Its own address, where it is not the vendor's.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Path after the address.
    pub path: String,
}

/// OpenAI-shaped surfaces that are passed through; the path below is the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Surface {
    /// `/moderations`.
    Moderations,
    /// `/images/…`.
    Images,
    /// `/audio/…`.
    Audio,
}

impl Surface {
    /// First segment of its path.
    pub fn segment(self) -> &'static str {
        match self {
            Self::Moderations => "moderations",
            Self::Images => "images",
            Self::Audio => "audio",
        }
    }
}

/// How a vendor's model list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelListWire {
    /// `{"data":[{"id"}]}`.
    Openai,
    /// `{"data":[{"id"}],"has_more","last_id"}`.
    Anthropic,
    /// `{"models":[{"name"}],"nextPageToken"}`.
    Gemini,
    /// Ollama `/api/tags`.
    Ollama,
    /// `{"models":[{"name","endpoints"}],"next_page_token"}`.
    Cohere,
    /// `{"modelSummaries":[{"modelId"}]}`.
    Bedrock,
    /// `{"publisherModels":[{"name"}],"nextPageToken"}`.
    Vertex,
    /// A bare list of `{"id"}` (GitHub Models, Together).
    List,
}

/// Where models are listed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ModelList {
    /// How it is written.
    pub wire: ModelListWire,
    /// Its own address, where it is not the vendor's.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Path after the address, query and page size included.
    pub path: String,
    /// Where the key goes, if not where the vendor's usually does.
    #[serde(default)]
    pub auth: Option<AuthStyle>,
}
