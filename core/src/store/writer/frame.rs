//! Frames of the journal: what stands between one `write(2)` and the next commit.
//!
//! `MYJ1 | length u32 | crc32 u32 | body`, little-endian; length and checksum are of the body, whose first bytes are the job's kind and its place in
//! the order of all jobs. A torn or damaged frame is skipped: reading goes on at the next mark.

use super::job::Job;

const MARK: [u8; 4] = *b"MYJ1";
const HEAD: usize = 12;
/// No body is larger; a length beyond it is damage.
pub(super) const MOST_BODY: usize = 64 << 20;

/// Puts a job into a frame.
pub(super) fn write(seq: u64, job: &Job) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + 16 + job.size());
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&[0; 8]);
    out.push(job.kind());
    out.extend_from_slice(&seq.to_le_bytes());
    job.write(&mut out);
    let (head, body) = out.split_at_mut(HEAD);
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    let crc = crc32fast::hash(body).to_le_bytes();
    for (place, byte) in head.iter_mut().skip(MARK.len()).zip(length.into_iter().chain(crc)) {
        *place = byte;
    }
    out
}

/// Every whole frame of a journal's bytes, in the order of the file.
pub(super) fn read_all(bytes: &[u8]) -> Vec<(u64, Job)> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(at) = memchr::memmem::find(rest, &MARK) {
        let Some(frame) = rest.get(at..) else { break };
        match body(frame) {
            Some(body) => {
                out.extend(parse(body));
                rest = frame.get(HEAD + body.len()..).unwrap_or_default();
            }
            // Damaged, or a mark that stands inside something damaged: look for the next one.
            None => rest = frame.get(1..).unwrap_or_default(),
        }
    }
    out
}

/// The body of the frame that these bytes begin with, if it is whole.
fn body(frame: &[u8]) -> Option<&[u8]> {
    let (length, rest) = frame.get(MARK.len()..)?.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok().filter(|length| *length <= MOST_BODY)?;
    let body = rest.get(..length)?;
    (crc32fast::hash(body) == u32::from_le_bytes(*crc)).then_some(body)
}

fn parse(body: &[u8]) -> Option<(u64, Job)> {
    let (kind, rest) = body.split_first()?;
    let (seq, rest) = rest.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*seq), Job::read(*kind, rest)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Charge;

    fn record(key: u128, bytes: &[u8]) -> Job {
        Job::Record { key, bytes: bytes.to_vec() }
    }

    fn jobs() -> impl Strategy<Value = Vec<(u64, Job)>> {
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
        proptest::collection::vec((any::<u64>(), prop_oneof![record, put, delete, charged, forget]), 0..8)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(jobs in jobs()) {
            let bytes: Vec<u8> = jobs.iter().flat_map(|(seq, job)| write(*seq, job)).collect();
            prop_assert_eq!(read_all(&bytes), jobs);
        }

        #[test]
        fn a_cut_loses_only_what_it_cuts(jobs in jobs(), cut in any::<proptest::sample::Index>()) {
            let frames: Vec<Vec<u8>> = jobs.iter().map(|(seq, job)| write(*seq, job)).collect();
            let bytes = frames.concat();
            let cut = cut.index(bytes.len() + 1);
            let mut end = 0;
            let whole = frames.iter().take_while(|frame| { end += frame.len(); end <= cut }).count();
            prop_assert_eq!(read_all(&bytes[..cut]), jobs[..whole].to_vec());
        }

        #[test]
        fn a_flipped_bit_loses_one_frame_at_most(jobs in jobs(), at in any::<proptest::sample::Index>(), bit in 0..8_u8) {
            let frames: Vec<Vec<u8>> = jobs.iter().map(|(seq, job)| write(*seq, job)).collect();
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
        let (one, two) = (record(1, b"one"), record(2, b"two"));
        let torn = write(9, &record(9, b"torn"));
        for cut in 0..torn.len() {
            let bytes = [write(1, &one), torn[..cut].to_vec(), write(2, &two)].concat();
            assert_eq!(read_all(&bytes), [(1, one.clone()), (2, two.clone())], "cut {cut}");
        }
    }
}
