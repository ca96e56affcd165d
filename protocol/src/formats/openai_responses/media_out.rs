//! Images that a model of another format drew, as the item that this format has for them.

use serde_json::json;

use super::content::fields_of;
use super::take::Fields;
use crate::ir::{Media, MediaKind, MediaSource};

/// `image_generation_call` without its id. `None`: no image, or not inline.
pub(super) fn image_item(media: &Media) -> Option<Fields> {
    let (MediaKind::Image, MediaSource::Base64(data)) = (media.kind, &media.source) else { return None };
    let format = media.media_type.as_deref().and_then(|name| name.strip_prefix("image/")).unwrap_or("png");
    Some(fields_of(json!({
        "type": "image_generation_call", "status": "completed", "output_format": format, "result": data,
    })))
}
