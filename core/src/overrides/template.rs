//! Values with `{{…}}` in them. What a template names may be absent: then the whole value is, and the change is not made.

use serde_json::{Map, Value};

use super::Scope;
use super::path::Path;
use crate::model::Told;
use crate::told;

/// A value that may hold templates.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Template {
    /// No template in it.
    Fixed(Value),
    /// Nothing but one template: its value, whatever its type.
    Whole(Named),
    /// A text with templates in it.
    Text(Vec<Piece>),
    List(Vec<Template>),
    Table(Vec<(String, Template)>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Piece {
    Text(String),
    Named(Named),
}

/// What stands between the braces.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Named {
    what: What,
    /// Behind a `|`: what it is if it is absent.
    otherwise: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    Fact(Fact),
    Header(String),
    Body(Path),
}

/// What is known of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fact {
    Model,
    Upstream,
    Channel,
    Provider,
    Tool,
    Key,
    Profile,
    Format,
    UpstreamFormat,
    Session,
    Trace,
    RequestId,
}

const FACTS: [(&str, Fact); 12] = [
    ("model", Fact::Model),
    ("upstream", Fact::Upstream),
    ("channel", Fact::Channel),
    ("provider", Fact::Provider),
    ("tool", Fact::Tool),
    ("key", Fact::Key),
    ("profile", Fact::Profile),
    ("format", Fact::Format),
    ("upstream_format", Fact::UpstreamFormat),
    ("session", Fact::Session),
    ("trace", Fact::Trace),
    ("request_id", Fact::RequestId),
];

/// Headers that hold a caller's key: they never go on.
pub(crate) const SECRET_HEADERS: [&str; 6] =
    ["authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"];

impl Template {
    /// Reads a value.
    ///
    /// # Errors
    /// In words, if a template names nothing that there is.
    pub(crate) fn parse(value: &Value) -> Result<Self, Told> {
        Ok(match value {
            Value::String(text) if text.contains("{{") => text_of(text)?,
            Value::Array(items) => {
                let items: Vec<Self> = items.iter().map(Self::parse).collect::<Result<_, _>>()?;
                if items.iter().all(|item| matches!(item, Self::Fixed(_))) {
                    Self::Fixed(value.clone())
                } else {
                    Self::List(items)
                }
            }
            Value::Object(fields) => {
                let fields: Vec<(String, Self)> = fields
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), Self::parse(value)?)))
                    .collect::<Result<_, Told>>()?;
                if fields.iter().all(|(_, field)| matches!(field, Self::Fixed(_))) {
                    Self::Fixed(value.clone())
                } else {
                    Self::Table(fields)
                }
            }
            fixed => Self::Fixed(fixed.clone()),
        })
    }

    /// The value for one request; `None`: something that it names is absent.
    pub(crate) fn render(&self, scope: &Scope<'_>, body: Option<&Value>) -> Option<Value> {
        Some(match self {
            Self::Fixed(value) => value.clone(),
            Self::Whole(named) => named.value(scope, body)?,
            Self::Text(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(piece) => text.push_str(piece),
                        Piece::Named(named) => match named.value(scope, body)? {
                            Value::String(piece) => text.push_str(&piece),
                            other => text.push_str(&other.to_string()),
                        },
                    }
                }
                Value::String(text)
            }
            Self::List(items) => items.iter().map(|item| item.render(scope, body)).collect::<Option<Vec<_>>>()?.into(),
            Self::Table(fields) => {
                let fields = fields.iter().map(|(name, field)| Some((name.clone(), field.render(scope, body)?)));
                Value::Object(fields.collect::<Option<Map<_, _>>>()?)
            }
        })
    }

    /// Whether the body has to be looked into.
    pub(crate) fn reads_body(&self) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Whole(named) => named.reads_body(),
            Self::Text(pieces) => pieces.iter().any(|piece| matches!(piece, Piece::Named(named) if named.reads_body())),
            Self::List(items) => items.iter().any(Self::reads_body),
            Self::Table(fields) => fields.iter().any(|(_, field)| field.reads_body()),
        }
    }
}

fn text_of(text: &str) -> Result<Template, Told> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, after) = after
            .split_once("}}")
            .ok_or_else(|| told!("template-open", "'{text}' has a '{{{{' without a '}}}}'", text = text))?;
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        pieces.push(Piece::Named(Named::parse(inside)?));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    match pieces.as_slice() {
        [Piece::Named(named)] => Ok(Template::Whole(named.clone())),
        _ => Ok(Template::Text(pieces)),
    }
}

impl Named {
    fn parse(text: &str) -> Result<Self, Told> {
        let (name, otherwise) = match text.split_once('|') {
            Some((name, otherwise)) => (name, Some(otherwise.trim().to_owned())),
            None => (text, None),
        };
        let name = name.trim();
        let what = if let Some(header) = name.strip_prefix("header.") {
            let header = header.to_ascii_lowercase();
            if SECRET_HEADERS.contains(&header.as_str()) {
                return Err(told!("template-key", "'{{{{{name}}}}}' would send the caller's key on", name = name));
            }
            What::Header(header)
        } else if let Some(path) =
            name.strip_prefix("body.").or_else(|| name.strip_prefix("body").filter(|p| p.starts_with('/')))
        {
            What::Body(Path::parse(path)?)
        } else {
            let fact = FACTS.iter().find(|(known, _)| *known == name).map(|(_, fact)| *fact);
            What::Fact(fact.ok_or_else(|| {
                let known: Vec<&str> = FACTS.iter().map(|(known, _)| *known).collect();
                told!(
                    "template-unknown",
                    "there is no '{{{{{name}}}}}': known are {known}, header.NAME and body.PATH",
                    name = name,
                    known = known.join(", ")
                )
            })?)
        };
        Ok(Self { what, otherwise })
    }

    fn value(&self, scope: &Scope<'_>, body: Option<&Value>) -> Option<Value> {
        let found = match &self.what {
            What::Fact(fact) => scope.fact(*fact).map(Value::from),
            What::Header(name) => scope.header(name).map(Value::from),
            What::Body(path) => body.and_then(|body| path.get(body)).cloned(),
        };
        found.or_else(|| self.otherwise.clone().map(Value::String))
    }

    fn reads_body(&self) -> bool {
        matches!(self.what, What::Body(_))
    }
}

impl Scope<'_> {
    fn fact(&self, fact: Fact) -> Option<&str> {
        let text = match fact {
            Fact::Model => self.model,
            Fact::Upstream => self.upstream,
            Fact::Channel => self.channel,
            Fact::Provider => self.provider,
            Fact::Tool => self.tool?,
            Fact::Key => self.key,
            Fact::Profile => self.profile,
            Fact::Format => self.format,
            Fact::UpstreamFormat => self.upstream_format,
            Fact::Session => self.session?,
            Fact::Trace => self.trace?,
            Fact::RequestId => self.request_id,
        };
        (!text.is_empty()).then_some(text)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
