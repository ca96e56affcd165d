//! Messages of D-Bus as bytes, as far as asking a service takes: <https://dbus.freedesktop.org/doc/dbus-specification.html>. Pure.

/// A value. Numbers that a keychain never sends are read over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Byte(u8),
    Bool(bool),
    U32(u32),
    /// A number of another kind, as it lies there.
    Other(u64),
    Text(String),
    Path(String),
    Signature(String),
    /// The signature of its items, and they.
    Array(String, Vec<Value>),
    Struct(Vec<Value>),
    Pair(Box<(Value, Value)>),
    Variant(Box<Value>),
}

impl Value {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub(super) fn path(path: &str) -> Self {
        Self::Path(path.to_owned())
    }

    pub(super) fn variant(value: Self) -> Self {
        Self::Variant(Box::new(value))
    }

    pub(super) fn paths(paths: &[String]) -> Self {
        Self::Array("o".to_owned(), paths.iter().cloned().map(Self::Path).collect())
    }

    pub(super) fn bytes(bytes: &[u8]) -> Self {
        Self::Array("y".to_owned(), bytes.iter().copied().map(Self::Byte).collect())
    }

    /// A table of texts.
    pub(super) fn table(rows: &[(&str, &str)]) -> Self {
        let pair = |(key, value): &(&str, &str)| Self::Pair(Box::new((Self::text(key), Self::text(value))));
        Self::Array("{ss}".to_owned(), rows.iter().map(pair).collect())
    }

    /// A text or a path.
    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Path(text) | Self::Signature(text) => Some(text),
            _ => None,
        }
    }

    /// What is in it, in order; a pair and a variant hold things too.
    pub(super) fn items(&self) -> Vec<&Self> {
        match self {
            Self::Array(_, items) | Self::Struct(items) => items.iter().collect(),
            Self::Pair(pair) => vec![&pair.0, &pair.1],
            Self::Variant(value) => vec![value],
            _ => Vec::new(),
        }
    }

    /// The texts in it.
    pub(super) fn texts(&self) -> Vec<String> {
        self.items().into_iter().filter_map(Self::as_str).map(str::to_owned).collect()
    }

    /// The bytes in it.
    pub(super) fn as_bytes(&self) -> Vec<u8> {
        let byte = |item: &&Self| if let Self::Byte(byte) = item { Some(*byte) } else { None };
        self.items().iter().filter_map(byte).collect()
    }

    pub(super) fn signature(&self) -> String {
        match self {
            Self::Byte(_) => "y".to_owned(),
            Self::Bool(_) => "b".to_owned(),
            Self::U32(_) => "u".to_owned(),
            Self::Other(_) => "t".to_owned(),
            Self::Text(_) => "s".to_owned(),
            Self::Path(_) => "o".to_owned(),
            Self::Signature(_) => "g".to_owned(),
            Self::Array(item, _) => format!("a{item}"),
            Self::Struct(items) => format!("({})", items.iter().map(Self::signature).collect::<String>()),
            Self::Pair(pair) => format!("{{{}{}}}", pair.0.signature(), pair.1.signature()),
            Self::Variant(_) => "v".to_owned(),
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Byte(byte) => out.push(*byte),
            Self::Bool(value) => number(out, u32::from(*value)),
            Self::U32(value) => number(out, *value),
            Self::Other(value) => {
                pad(out, 8);
                out.extend(value.to_le_bytes());
            }
            Self::Text(text) | Self::Path(text) => {
                number(out, length(text.len()));
                out.extend(text.as_bytes());
                out.push(0);
            }
            Self::Signature(text) => signature(out, text),
            Self::Array(item, items) => {
                number(out, 0);
                let place = out.len() - 4;
                pad(out, alignment(item));
                let begin = out.len();
                items.iter().for_each(|item| item.write(out));
                let size = length(out.len() - begin).to_le_bytes();
                out.iter_mut().skip(place).zip(size).for_each(|(byte, size)| *byte = size);
            }
            Self::Struct(items) => {
                pad(out, 8);
                items.iter().for_each(|item| item.write(out));
            }
            Self::Pair(pair) => {
                pad(out, 8);
                pair.0.write(out);
                pair.1.write(out);
            }
            Self::Variant(value) => {
                signature(out, &value.signature());
                value.write(out);
            }
        }
    }
}

fn length(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

fn number(out: &mut Vec<u8>, value: u32) {
    pad(out, 4);
    out.extend(value.to_le_bytes());
}

fn signature(out: &mut Vec<u8>, text: &str) {
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend(text.as_bytes());
    out.push(0);
}

fn pad(out: &mut Vec<u8>, to: usize) {
    while !out.len().is_multiple_of(to) {
        out.push(0);
    }
}

fn alignment(signature: &str) -> usize {
    match signature.bytes().next() {
        Some(b'y' | b'g' | b'v') => 1,
        Some(b'n' | b'q') => 2,
        Some(b'x' | b't' | b'd' | b'(' | b'{') => 8,
        _ => 4,
    }
}

/// The first whole type of a signature, and the rest.
fn first(signature: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    for (at, byte) in signature.bytes().enumerate() {
        match byte {
            b'a' => continue,
            b'(' | b'{' => depth += 1,
            b')' | b'}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return signature.split_at_checked(at + 1);
        }
    }
    None
}

/// Reads values out of bytes that begin at a multiple of eight.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Types within types that are followed.
const DEEPEST: usize = 32;

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn take(&mut self, size: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(size)?)?;
        self.at += size;
        Some(taken)
    }

    fn pad(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn number(&mut self) -> Option<u32> {
        self.pad(4);
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn text(&mut self, size: usize) -> Option<String> {
        let text = self.take(size)?;
        self.take(1)?;
        String::from_utf8(text.to_owned()).ok()
    }

    /// Values of a signature; nothing: they are not there as it says.
    pub(super) fn values(&mut self, signature: &str) -> Option<Vec<Value>> {
        self.nested(signature, 0)
    }

    fn nested(&mut self, mut signature: &str, depth: usize) -> Option<Vec<Value>> {
        let mut values = Vec::new();
        while !signature.is_empty() {
            let (one, rest) = first(signature)?;
            values.push(self.value(one, depth)?);
            signature = rest;
        }
        Some(values)
    }

    fn value(&mut self, signature: &str, depth: usize) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        let inner = signature.get(1..)?;
        Some(match signature.as_bytes().first()? {
            b'y' => Value::Byte(*self.take(1)?.first()?),
            b'b' => Value::Bool(self.number()? != 0),
            b'u' => Value::U32(self.number()?),
            b'i' | b'h' => Value::Other(u64::from(self.number()?)),
            b'n' | b'q' => {
                self.pad(2);
                Value::Other(u64::from(u16::from_le_bytes(self.take(2)?.try_into().ok()?)))
            }
            b'x' | b't' | b'd' => {
                self.pad(8);
                Value::Other(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
            }
            kind @ (b's' | b'o') => {
                let size = usize::try_from(self.number()?).ok()?;
                let text = self.text(size)?;
                if *kind == b's' { Value::Text(text) } else { Value::Path(text) }
            }
            b'g' => {
                let size = usize::from(*self.take(1)?.first()?);
                Value::Signature(self.text(size)?)
            }
            b'a' => {
                let size = usize::try_from(self.number()?).ok()?;
                self.pad(alignment(inner));
                let end = self.at.checked_add(size).filter(|end| *end <= self.bytes.len())?;
                let mut items = Vec::new();
                while self.at < end {
                    items.push(self.value(inner, depth + 1)?);
                }
                Value::Array(inner.to_owned(), items)
            }
            b'(' => {
                self.pad(8);
                Value::Struct(self.nested(inner.strip_suffix(')')?, depth + 1)?)
            }
            b'{' => {
                self.pad(8);
                let mut both = self.nested(inner.strip_suffix('}')?, depth + 1)?.into_iter();
                Value::Pair(Box::new((both.next()?, both.next()?)))
            }
            b'v' => {
                let size = usize::from(*self.take(1)?.first()?);
                let signature = self.text(size)?;
                Value::variant(self.value(&signature, depth + 1)?)
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_as_the_specification_says() {
        let mut out = Vec::new();
        [Value::Byte(7), Value::text("ab"), Value::table(&[("k", "v")])].iter().for_each(|value| value.write(&mut out));
        #[rustfmt::skip]
        let wanted = [
            7, 0, 0, 0, // a byte, and up to the next number
            2, 0, 0, 0, b'a', b'b', 0, 0,
            14, 0, 0, 0, // bytes in the table; it begins at a multiple of eight
            1, 0, 0, 0, b'k', 0, 0, 0, 1, 0, 0, 0, b'v', 0,
        ];
        assert_eq!(out, wanted);
    }

    #[test]
    fn what_is_written_is_read_again_and_a_cut_is_noticed() {
        let secret = Value::Struct(vec![
            Value::path("/session/1"),
            Value::bytes(b""),
            Value::bytes(b"canary"),
            Value::text("text/plain"),
        ]);
        let values = vec![
            Value::Bool(true),
            Value::paths(&["/a".to_owned(), "/b".to_owned()]),
            Value::Array(
                "{sv}".to_owned(),
                vec![Value::Pair(Box::new((
                    Value::text("x"),
                    Value::variant(Value::table(&[("service", "myelin"), ("username", "n")])),
                )))],
            ),
            Value::Signature("a{sv}".to_owned()),
            secret,
            Value::Array("{sv}".to_owned(), Vec::new()),
            Value::U32(9),
        ];
        let mut out = Vec::new();
        values.iter().for_each(|value| value.write(&mut out));
        let signature: String = values.iter().map(Value::signature).collect();
        assert_eq!(signature, "baoa{sv}g(oayays)a{sv}u");
        assert_eq!(Reader::new(&out).values(&signature).unwrap(), values);
        for cut in 0..out.len() {
            assert_eq!(Reader::new(&out[..cut]).values(&signature), None, "cut at {cut}");
        }
        assert_eq!(Reader::new(&out).values("a(").or(Reader::new(&[0; 8]).values("z")), None);
        let deep = "v".repeat(3);
        assert_eq!(Reader::new(&[1, b'v', 0].repeat(100)).values(&deep), None, "no end of boxes in boxes");
    }
}
