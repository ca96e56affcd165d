//! Where a provider's stream stands: one track an `output_index`.

use crate::ir::{Extras, PartId, ToolCallKind};

/// What an item is, as far as reading goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Reasoning,
    Call(ToolCallKind),
    /// Told whole, when it is done.
    Whole,
}

/// How much of a text was passed on.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Bytes passed on.
    length: usize,
    /// Anything was told, if only that it exists.
    pub(super) begun: bool,
}

impl Progress {
    /// What `text` adds: all of a delta, and of a whole text (`whole`) that which was not passed on.
    pub(super) fn take_more(&mut self, text: &str, whole: bool) -> Option<String> {
        let rest = if whole { text.get(self.length..)? } else { text };
        self.length = self.length.saturating_add(rest.len());
        (!rest.is_empty()).then(|| rest.to_owned())
    }
}

/// A content part of a message.
#[derive(Debug)]
pub(super) struct ContentTrack {
    inner: u64,
    pub(super) part: PartId,
    /// A refusal, not a text.
    pub(super) refusal: bool,
    pub(super) progress: Progress,
    /// Citations passed on.
    pub(super) citations: usize,
    pub(super) ended: bool,
}

/// One item.
#[derive(Debug)]
pub(super) struct Track {
    index: u64,
    pub(super) kind: Kind,
    /// The id that the item had first.
    pub(super) item_id: Option<String>,
    /// Fields of the message as it began.
    pub(super) extras: Extras,
    /// The part of a reasoning item or call, until it ends.
    pub(super) part: Option<PartId>,
    /// Arguments, or thinking.
    pub(super) progress: Progress,
    /// Thinking passed on before content part number so-and-so began.
    thinking: (u64, usize),
    summaries: Vec<Progress>,
    pub(super) contents: Vec<ContentTrack>,
    /// The id was made by a gateway of this kind.
    pub(super) minted: bool,
    /// The summary that text came for last.
    pub(super) last_summary: u32,
    pub(super) done: bool,
}

/// More summaries than any model writes; a hostile number must not allocate without bound.
const MOST_SUMMARIES: u32 = 255;

impl Track {
    /// An item begins.
    pub(super) fn new(index: u64, kind: Kind, item_id: Option<String>, extras: Extras) -> Self {
        Self {
            index,
            kind,
            item_id,
            extras,
            part: None,
            progress: Progress::default(),
            thinking: (0, 0),
            summaries: Vec::new(),
            contents: Vec::new(),
            minted: false,
            last_summary: 0,
            done: false,
        }
    }

    /// What a whole text of the item adds.
    pub(super) fn rest(&mut self, whole: &str) -> Option<String> {
        self.progress.take_more(whole, true)
    }

    /// What `text` adds to the thinking; content parts follow one another.
    pub(super) fn take_thinking(&mut self, inner: u64, text: &str, whole: bool) -> Option<String> {
        if inner != self.thinking.0 {
            self.thinking = (inner, self.progress.length);
        }
        if !whole {
            return self.progress.take_more(text, false);
        }
        let told = self.progress.length.saturating_sub(self.thinking.1);
        let rest = text.get(told..)?;
        self.progress.take_more(rest, false)
    }

    /// The progress of summary number `place`.
    pub(super) fn summary_mut(&mut self, place: u32) -> Option<&mut Progress> {
        let place = usize::try_from(place.min(MOST_SUMMARIES)).ok()?;
        if self.summaries.len() <= place {
            self.summaries.resize_with(place + 1, Progress::default);
        }
        self.summaries.get_mut(place)
    }

    /// What a whole summary adds; an empty one is told once.
    pub(super) fn summary_rest(&mut self, place: u32, whole: &str) -> Option<String> {
        let progress = self.summary_mut(place)?;
        let fresh = !std::mem::replace(&mut progress.begun, true);
        progress.take_more(whole, true).or_else(|| fresh.then(String::new))
    }

    /// Content part number `inner`.
    pub(super) fn content(&self, inner: u64) -> Option<&ContentTrack> {
        self.contents.iter().find(|content| content.inner == inner)
    }

    /// Content part number `inner`.
    pub(super) fn content_mut(&mut self, inner: u64) -> Option<&mut ContentTrack> {
        self.contents.iter_mut().find(|content| content.inner == inner)
    }

    /// A content part begins.
    pub(super) fn add_content(&mut self, inner: u64, part: PartId, refusal: bool) -> &mut ContentTrack {
        let content = ContentTrack { inner, part, refusal, progress: Progress::default(), citations: 0, ended: false };
        let place = self.contents.len();
        self.contents.push(content);
        #[expect(clippy::indexing_slicing, reason = "pushed just above")]
        &mut self.contents[place]
    }
}

/// All items of a stream.
#[derive(Debug, Default)]
pub(super) struct Tracks(Vec<Track>);

impl Tracks {
    /// Item number `index`. The latest are asked for most.
    pub(super) fn get(&self, index: u64) -> Option<&Track> {
        self.0.iter().rev().find(|track| track.index == index)
    }

    /// Item number `index`.
    pub(super) fn get_mut(&mut self, index: u64) -> Option<&mut Track> {
        self.0.iter_mut().rev().find(|track| track.index == index)
    }

    /// An item begins.
    pub(super) fn insert(&mut self, track: Track) {
        self.0.push(track);
    }

    /// Whether nothing was seen.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number that the next item has if the host does not say.
    pub(super) fn next_index(&self) -> u64 {
        self.0.last().map_or(0, |track| track.index.saturating_add(1))
    }

    /// The number of the item that events belong to if the host does not say.
    pub(super) fn last_index(&self) -> u64 {
        self.0.last().map_or(0, |track| track.index)
    }

    /// Numbers of items that have not ended.
    pub(super) fn open(&self) -> Vec<u64> {
        self.0.iter().filter(|track| !track.done).map(|track| track.index).collect()
    }
}
