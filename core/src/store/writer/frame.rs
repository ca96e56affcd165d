//! Frames of the journal: what stands between one `write(2)` and the next commit.
//!
//! `MYJ2 | length u32 | crc32 u32 | body`, little-endian; length and checksum are of the body, whose first bytes are the job's kind and its place in
//! the order of all jobs. A torn or damaged frame is skipped: reading goes on at the next mark. `MYJ1` marks frames whose places began anew with every
//! process; they are still read.

use super::job::Job;

/// What every mark begins with; its last byte is the layout.
const MARK: [u8; 3] = *b"MYJ";
const LAYOUT: u8 = b'2';
/// Places of this one tell nothing beyond its own process.
const OLDEST_LAYOUT: u8 = b'1';
const HEAD: usize = 12;
const LENGTH_AT: usize = MARK.len() + 1;
/// Beside the job's kind: it stands in the journal only.
const ONLY_HERE: u8 = 0x80;
/// No body is larger; a length beyond it is damage.
pub(super) const MOST_BODY: usize = 64 << 20;

/// A job with its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Frame {
    /// Its place in the order of all jobs.
    pub seq: u64,
    /// It did not also go through memory.
    pub only_here: bool,
    /// The place is that of another count: it says nothing about what is in the database.
    pub uncounted: bool,
    pub job: Job,
}

/// Puts a job into a frame. `only_here`: it does not also go through memory.
pub(super) fn write(seq: u64, job: &Job, only_here: bool) -> Vec<u8> {
    let mut out = begin(16 + job.size());
    out.push(job.kind() | if only_here { ONLY_HERE } else { 0 });
    out.extend_from_slice(&seq.to_le_bytes());
    job.write(&mut out);
    end(out)
}

/// A whole frame of that many bytes that holds nothing: every reader passes over it.
pub(super) fn blank(bytes: usize) -> Vec<u8> {
    let mut out = begin(bytes.saturating_sub(HEAD));
    out.resize(bytes.max(HEAD + 1), 0);
    end(out)
}

fn begin(body: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + body);
    out.extend_from_slice(&MARK);
    out.push(LAYOUT);
    out.extend_from_slice(&[0; 8]);
    out
}

/// Fills in length and checksum.
fn end(mut out: Vec<u8>) -> Vec<u8> {
    let (head, body) = out.split_at_mut(HEAD);
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    let crc = crc32fast::hash(body).to_le_bytes();
    for (place, byte) in head.iter_mut().skip(LENGTH_AT).zip(length.into_iter().chain(crc)) {
        *place = byte;
    }
    out
}

/// Every whole frame of a journal's bytes, in the order of the file.
pub(super) fn read_all(bytes: &[u8]) -> Vec<Frame> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(at) = memchr::memmem::find(rest, &MARK) {
        let Some(frame) = rest.get(at..) else { break };
        match body(frame) {
            Some((layout, body)) => {
                out.extend(parse(layout, body));
                rest = frame.get(HEAD + body.len()..).unwrap_or_default();
            }
            // Damaged, or a mark that stands inside something damaged: look for the next one.
            None => rest = frame.get(1..).unwrap_or_default(),
        }
    }
    out
}

/// Layout and body of the frame that these bytes begin with, if it is whole.
fn body(frame: &[u8]) -> Option<(u8, &[u8])> {
    let (&layout, rest) = frame.get(MARK.len()..)?.split_first()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok().filter(|length| *length <= MOST_BODY)?;
    let body = rest.get(..length)?;
    let whole = (OLDEST_LAYOUT..=LAYOUT).contains(&layout) && crc32fast::hash(body) == u32::from_le_bytes(*crc);
    whole.then_some((layout, body))
}

fn parse(layout: u8, body: &[u8]) -> Option<Frame> {
    let (kind, rest) = body.split_first()?;
    let (seq, rest) = rest.split_first_chunk::<8>()?;
    let job = Job::read(kind & !ONLY_HERE, rest)?;
    let only_here = kind & ONLY_HERE != 0;
    Some(Frame { seq: u64::from_le_bytes(*seq), only_here, uncounted: layout == OLDEST_LAYOUT, job })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Charge;

    fn record(key: u128, bytes: &[u8]) -> Job {
        Job::Record { key, bytes: bytes.to_vec() }
    }

    fn frame(seq: u64, job: Job) -> Frame {
        Frame { seq, only_here: false, uncounted: false, job }
    }

    fn bytes_of(frame: &Frame) -> Vec<u8> {
        write(frame.seq, &frame.job, frame.only_here)
    }

    fn frames() -> impl Strategy<Value = Vec<Frame>> {
        let record = (any::<u128>(), proptest::collection::vec(any::<u8>(), 0..60))
            .prop_map(|(key, bytes)| Job::Record { key, bytes });
        let put = ("[a-z]{1,8}", ".{0,20}", proptest::collection::vec(any::<u8>(), 0..60))
            .prop_map(|(space, key, value)| Job::Put { space, key, value });
        let delete = ("[a-z]{1,8}", ".{0,20}").prop_map(|(space, key)| Job::Delete { space, key });
        let charge = any::<(u64, u64, u64)>().prop_map(|(counter, at, amount)| Charge { counter, at, amount });
        let charged =
            (any::<u128>(), proptest::collection::vec(charge, 0..4), proptest::collection::vec(any::<u8>(), 0..60))
                .prop_map(|(key, charges, bytes)| Job::Charged { key, charges, bytes });
        let forget = proptest::collection::vec(any::<(u64, u64)>(), 0..4).prop_map(|before| Job::Forget { before });
        let reset = any::<(u64, u64)>().prop_map(|(counter, now)| Job::Reset { counter, now });
        let one = (any::<(u64, bool)>(), prop_oneof![record, put, delete, charged, forget, reset]);
        let one = one.prop_map(|((seq, only_here), job)| Frame { only_here, ..frame(seq, job) });
        proptest::collection::vec(one, 0..8)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(jobs in frames()) {
            let bytes: Vec<u8> = jobs.iter().flat_map(bytes_of).collect();
            prop_assert_eq!(read_all(&bytes), jobs);
        }

        #[test]
        fn a_cut_loses_only_what_it_cuts(jobs in frames(), cut in any::<proptest::sample::Index>()) {
            let frames: Vec<Vec<u8>> = jobs.iter().map(bytes_of).collect();
            let bytes = frames.concat();
            let cut = cut.index(bytes.len() + 1);
            let mut end = 0;
            let whole = frames.iter().take_while(|frame| { end += frame.len(); end <= cut }).count();
            prop_assert_eq!(read_all(&bytes[..cut]), jobs[..whole].to_vec());
        }

        #[test]
        fn a_flipped_bit_loses_one_frame_at_most(jobs in frames(), at in any::<proptest::sample::Index>(), bit in 0..8_u8) {
            let frames: Vec<Vec<u8>> = jobs.iter().map(bytes_of).collect();
            let mut bytes = frames.concat();
            prop_assume!(!bytes.is_empty());
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let mut start = 0;
            let hit = frames.iter().position(|frame| { start += frame.len(); at < start }).unwrap();
            let mut expected = jobs;
            expected.remove(hit);
            prop_assert_eq!(read_all(&bytes), expected);
        }

        #[test]
        fn noise_is_no_frame(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read_all(&noise).is_empty());
        }
    }

    #[test]
    fn a_torn_frame_between_whole_ones_is_skipped() {
        let (one, two) = (frame(1, record(1, b"one")), frame(2, record(2, b"two")));
        let torn = write(9, &record(9, b"torn"), false);
        for cut in 0..torn.len() {
            let bytes = [bytes_of(&one), torn[..cut].to_vec(), bytes_of(&two)].concat();
            assert_eq!(read_all(&bytes), [one.clone(), two.clone()], "cut {cut}");
        }
    }

    #[test]
    fn a_blank_frame_is_passed_over() {
        let one = frame(1, record(1, b"one"));
        for size in [0, 13, 14, 40, 4_096] {
            let bytes = [bytes_of(&one), blank(size), bytes_of(&one)].concat();
            assert_eq!(read_all(&bytes), [one.clone(), one.clone()], "{size}");
        }
    }

    #[test]
    fn frames_of_the_first_layout_are_read_and_their_places_tell_nothing() {
        let mut bytes = bytes_of(&frame(7, record(1, b"one")));
        bytes[3] = b'1';
        assert_eq!(read_all(&bytes), [Frame { uncounted: true, ..frame(7, record(1, b"one")) }]);
        bytes[3] = b'3';
        assert!(read_all(&bytes).is_empty(), "a newer layout is not guessed at");
    }
}
