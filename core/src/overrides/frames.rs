//! Changes in every event of a stream, at any split of its bytes.

use myelin_protocol::framing::{Framing, FramingError, Reader, sse};
use serde_json::Value;

/// Reads a stream's frames, lets their JSON be changed and writes them again. A frame that is no JSON, or that nothing changes in, keeps its data.
#[derive(Debug)]
pub(crate) struct FrameEditor {
    reader: Reader,
    framing: Framing,
}

impl FrameEditor {
    /// An editor; `None`: the framing is binary and stays as it is.
    pub(crate) fn new(framing: Framing) -> Option<Self> {
        matches!(framing, Framing::Sse | Framing::NdJson).then(|| Self { reader: Reader::new(framing), framing })
    }

    /// Takes bytes and gives those that can be told by now.
    ///
    /// # Errors
    /// If the bytes are no frames.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        edit: &mut dyn FnMut(&mut Value) -> bool,
    ) -> Result<Vec<u8>, FramingError> {
        let mut out = Vec::with_capacity(bytes.len() + 64);
        while let Some(frame) = self.reader.next(&mut bytes)? {
            write(self.framing, frame.event, frame.data, edit, &mut out);
        }
        Ok(out)
    }

    /// The bytes are over.
    ///
    /// # Errors
    /// If the last ones are no frame.
    pub(crate) fn finish(&mut self, edit: &mut dyn FnMut(&mut Value) -> bool) -> Result<Vec<u8>, FramingError> {
        let mut out = Vec::new();
        if let Some(frame) = self.reader.finish()? {
            write(self.framing, frame.event, frame.data, edit, &mut out);
        }
        Ok(out)
    }
}

fn write(
    framing: Framing,
    event: Option<&str>,
    data: &[u8],
    edit: &mut dyn FnMut(&mut Value) -> bool,
    out: &mut Vec<u8>,
) {
    let mut changed = None;
    if data.first() == Some(&b'{')
        && let Ok(mut value) = serde_json::from_slice::<Value>(data)
        && edit(&mut value)
    {
        changed = serde_json::to_vec(&value).ok();
    }
    let data = changed.as_deref().unwrap_or(data);
    match framing {
        Framing::Sse => sse::write_event(out, event, data),
        _ => {
            out.extend_from_slice(data);
            out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_changed_at_every_split() {
        let stream = "event: a\ndata: {\"x\":1}\n\ndata: [DONE]\n\n: note\n\ndata:{\"y\":2}\r\n\r\n";
        let expected = "event: a\ndata: {\"x\":1,\"z\":0}\n\ndata: [DONE]\n\ndata: {\"y\":2,\"z\":0}\n\n";
        for at in 0..=stream.len() {
            let mut editor = FrameEditor::new(Framing::Sse).unwrap();
            let mut edit = |value: &mut Value| {
                value["z"] = json!(0);
                true
            };
            let mut out = editor.feed(&stream.as_bytes()[..at], &mut edit).unwrap();
            out.extend(editor.feed(&stream.as_bytes()[at..], &mut edit).unwrap());
            out.extend(editor.finish(&mut edit).unwrap());
            assert_eq!(String::from_utf8(out).unwrap(), expected, "split at {at}");
        }
    }
}
