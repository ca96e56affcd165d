//! What records are counted, filtered and grouped by.

use smallvec::SmallVec;

use super::codec::{self, Intern, Room, take_varint, varint};
use super::names::{NOTHING, OTHER};
use crate::model::RequestRecord;

/// One thing that records are counted, filtered and grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dimension {
    /// The model that was asked for.
    Model,
    /// Upstream's name of the model.
    UpstreamModel,
    /// The channel that answered or failed last.
    Channel,
    /// Its provider.
    Provider,
    /// Id of the virtual key.
    Key,
    /// The tool.
    Tool,
    /// The profile.
    Profile,
    /// The client's format or the surface.
    Format,
    /// How it ended.
    State,
    /// HTTP status that the client got.
    Status,
    /// Kind of failure.
    Error,
    /// What the response cache had to say.
    Cache,
    /// A node above the key, `kind:name`; a record has several.
    Owner,
    /// A tag; a record has several.
    Tag,
}

/// What has one value in each record, in the order in which roll-ups write them. New ones come last.
pub(in crate::store) const SINGLES: [Dimension; 12] = [
    Dimension::Model,
    Dimension::UpstreamModel,
    Dimension::Channel,
    Dimension::Provider,
    Dimension::Key,
    Dimension::Tool,
    Dimension::Profile,
    Dimension::Format,
    Dimension::State,
    Dimension::Status,
    Dimension::Error,
    Dimension::Cache,
];

impl Dimension {
    /// Every one with its word.
    pub const ALL: [(Self, &'static str); 14] = [
        (Self::Model, "model"),
        (Self::UpstreamModel, "upstream_model"),
        (Self::Channel, "channel"),
        (Self::Provider, "provider"),
        (Self::Key, "key"),
        (Self::Tool, "tool"),
        (Self::Profile, "profile"),
        (Self::Format, "format"),
        (Self::State, "state"),
        (Self::Status, "status"),
        (Self::Error, "error"),
        (Self::Cache, "cache"),
        (Self::Owner, "owner"),
        (Self::Tag, "tag"),
    ];

    /// The word of this one.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(own, _)| *own == self).map_or("", |(_, word)| word)
    }

    /// The one with that word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, own)| *own == word).map(|(dimension, _)| *dimension)
    }

    /// Its number in the index of slots: never given a second meaning.
    pub(in crate::store) fn code(self) -> u8 {
        (1..).zip(Self::ALL).find(|(_, (own, _))| *own == self).map_or(0, |(code, _)| code)
    }
}

/// The values of one record, or of all that share them, by number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(in crate::store) struct Values {
    singles: [u32; SINGLES.len()],
    owners: SmallVec<[u32; 4]>,
    tags: SmallVec<[u32; 4]>,
}

impl Values {
    /// Those of a record, as its row in the database has them: a text that was written out there has no number, even if it got one since.
    pub(in crate::store) fn of(record: &RequestRecord, row: &[u8], names: &mut dyn Intern) -> Self {
        let mut out = Self::default();
        for (dimension, number) in codec::numbered(row) {
            let number = number.unwrap_or(OTHER);
            match dimension {
                Dimension::Owner => out.owners.push(number),
                Dimension::Tag => out.tags.push(number),
                single => out.set(single, number),
            }
        }
        out.tags.sort_unstable();
        out.tags.dedup();
        // These are no texts in the row.
        let mut word = |text: &str| names.id(text, Room::Own).unwrap_or(OTHER);
        let status = if record.status == 0 { NOTHING } else { word(&record.status.to_string()) };
        out.set(Dimension::State, word(record.state.word()));
        out.set(Dimension::Cache, word(record.cache.word()));
        out.set(Dimension::Status, status);
        out
    }

    fn set(&mut self, single: Dimension, number: u32) {
        for (place, _) in self.singles.iter_mut().zip(SINGLES).filter(|(_, own)| *own == single) {
            *place = number;
        }
    }

    /// The values in one dimension: one, or several, or none.
    pub(in crate::store) fn get(&self, dimension: Dimension) -> &[u32] {
        match dimension {
            Dimension::Owner => &self.owners,
            Dimension::Tag => &self.tags,
            single => {
                let at = SINGLES.iter().position(|own| *own == single).unwrap_or_default();
                self.singles.get(at..=at).unwrap_or_default()
            }
        }
    }

    /// Every value with its dimension.
    pub(in crate::store) fn each(&self) -> impl Iterator<Item = (Dimension, u32)> {
        let singles = SINGLES.into_iter().zip(self.singles);
        let owners = self.owners.iter().map(|id| (Dimension::Owner, *id));
        singles.chain(owners).chain(self.tags.iter().map(|id| (Dimension::Tag, *id)))
    }

    /// Writes them behind what is there.
    pub(in crate::store) fn write(&self, out: &mut Vec<u8>) {
        self.singles.iter().for_each(|id| varint(out, u64::from(*id)));
        for list in [&self.owners, &self.tags] {
            varint(out, list.len() as u64);
            list.iter().for_each(|id| varint(out, u64::from(*id)));
        }
    }

    /// Reads them back.
    pub(in crate::store) fn read(mut bytes: &[u8]) -> Option<Self> {
        let mut take = || u32::try_from(take_varint(&mut bytes)?).ok();
        let mut out = Self::default();
        for place in &mut out.singles {
            *place = take()?;
        }
        for list in [&mut out.owners, &mut out.tags] {
            for _ in 0..take()? {
                list.push(take()?);
            }
        }
        Some(out)
    }
}
