//! A request body on its way to a host: its top-level fields, checked against the host's [`Dialect`] at the end.

use serde::Serialize;

use crate::ir::Loss;
use crate::json::{self, List, Object};
use crate::{ApiFormat, Dialect};

/// Top-level fields, each written already.
#[derive(Debug, Default)]
pub(crate) struct Body {
    fields: Vec<(String, Vec<u8>)>,
}

impl Body {
    /// A field of any value.
    pub(crate) fn value<T: Serialize + ?Sized>(&mut self, name: &str, content: &T) {
        json::value(self.field(name), content);
    }

    /// A field, if it is known.
    pub(crate) fn some<T: Serialize>(&mut self, name: &str, content: Option<T>) {
        if let Some(content) = content {
            self.value(name, &content);
        }
    }

    /// A field that is an object.
    pub(crate) fn object(&mut self, name: &str, write: impl FnOnce(&mut Object<'_>)) {
        json::object(self.field(name), write);
    }

    /// A field that is a list.
    pub(crate) fn list(&mut self, name: &str, write: impl FnOnce(&mut List<'_>)) {
        json::list(self.field(name), write);
    }

    /// Whether a field is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(own, _)| own == name)
    }

    /// Takes a field out.
    pub(crate) fn remove(&mut self, name: &str) {
        self.fields.retain(|(own, _)| own != name);
    }

    fn field(&mut self, name: &str) -> &mut Vec<u8> {
        self.remove(name);
        &mut self.fields.push_mut((name.to_owned(), Vec::new())).1
    }

    /// The bytes: without what the host refuses, with what it wants by default.
    pub(crate) fn finish(mut self, dialect: &Dialect, format: ApiFormat, losses: &mut Vec<Loss>) -> Vec<u8> {
        for (name, content) in &dialect.defaults {
            if !self.has(name) {
                self.value(name, content);
            }
        }
        self.fields.retain(|(name, _)| {
            let refused = dialect.unsupported.contains(name);
            if refused {
                losses.push(Loss::new(name.clone(), format, "is refused by this host"));
            }
            !refused
        });
        let mut out = Vec::with_capacity(self.fields.iter().map(|(name, bytes)| name.len() + bytes.len() + 4).sum());
        json::object(&mut out, |object| {
            for (name, bytes) in &self.fields {
                object.name(name).extend_from_slice(bytes);
            }
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_gets_its_defaults_and_not_what_it_refuses() {
        let dialect = Dialect {
            unsupported: vec!["b".into()],
            defaults: serde_json::from_str(r#"{"a":9,"c":{"x":1}}"#).unwrap(),
            ..Dialect::default()
        };
        let mut body = Body::default();
        body.value("a", &1);
        body.some("b", Some(2));
        body.some("d", None::<u8>);
        let mut losses = Vec::new();
        let bytes = body.finish(&dialect, ApiFormat::AnthropicMessages, &mut losses);
        assert_eq!(String::from_utf8(bytes).unwrap(), r#"{"a":1,"c":{"x":1}}"#);
        assert_eq!(losses.len(), 1);
        assert_eq!(losses[0].field, "b");
    }
}
