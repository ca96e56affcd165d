//! A stream sealed under a passphrase: Argon2id makes the key, XChaCha20-Poly1305 seals chunk after chunk.
//!
//! `magic | memory KiB u32 | passes u32 | lanes u32 | salt 16 | nonce 19 | check 16`, then chunks: `length u32 | ciphertext`. The highest bit of the length marks the
//! last one. Each chunk is bound to its place and to being the last, so that none can be left out, moved or cut off unnoticed. `check` tells a wrong
//! passphrase from a damaged file. Must not know what is sealed.

use std::io::{self, Read, Write};

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};

use super::BackupError;
use crate::model::Secret;
use crate::store::StoreError;

/// Shortest passphrase that is taken, in characters.
pub const LEAST_PASSPHRASE: usize = 8;

const MAGIC: &[u8; 8] = b"MYELINB1";
/// What the key costs: 64 MiB of memory, three passes.
const COST: (u32, u32, u32) = (64 << 10, 3, 1);
/// Nobody's backup costs more: a made-up head must not take all memory.
const MOST_COST: (u32, u32, u32) = (1 << 20, 32, 8);
const SALT: usize = 16;
const PREFIX: usize = 19;
const TAG: usize = 16;
const HEAD: usize = 8 + 12 + SALT + PREFIX;
/// Plain bytes of a chunk.
const CHUNK: usize = 64 << 10;
/// Marks the last chunk in its length.
const LAST: u32 = 1 << 31;

/// What a nonce is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Middle = 0,
    Last = 1,
    Check = 2,
}

struct Cipher {
    cipher: XChaCha20Poly1305,
    head: [u8; HEAD],
    next: u32,
}

impl Cipher {
    fn new(head: [u8; HEAD], passphrase: &Secret) -> Result<Self, BackupError> {
        let number = |at: usize| {
            let bytes = head.get(at..).and_then(|rest| rest.first_chunk::<4>());
            bytes.map(|bytes| u32::from_le_bytes(*bytes)).unwrap_or_default()
        };
        let (memory, passes, lanes) = (number(8), number(12), number(16));
        if memory > MOST_COST.0 || passes > MOST_COST.1 || lanes > MOST_COST.2 {
            return Err(BackupError::Damaged("its head asks for too much".to_owned()));
        }
        let params = Params::new(memory, passes, lanes, Some(32))
            .map_err(|_| BackupError::Damaged("its head makes no sense".to_owned()))?;
        let salt = head.get(20..20 + SALT).unwrap_or_default();
        let mut key = [0_u8; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.expose().as_bytes(), salt, &mut key)
            .map_err(|why| BackupError::Damaged(why.to_string()))?;
        Ok(Self { cipher: XChaCha20Poly1305::new(&Key::from(key)), head, next: 0 })
    }

    fn nonce(&self, part: Part) -> XNonce {
        let mut nonce = [0_u8; 24];
        let bytes = self.head.iter().rev().take(PREFIX).rev().copied();
        let place = self.next.to_be_bytes().into_iter().chain([part as u8]);
        nonce.iter_mut().zip(bytes.chain(place)).for_each(|(to, from)| *to = from);
        XNonce::from(nonce)
    }

    fn seal(&mut self, part: Part, plain: &[u8]) -> io::Result<Vec<u8>> {
        let payload = Payload { msg: plain, aad: &self.head };
        let sealed = self.cipher.encrypt(&self.nonce(part), payload).map_err(|_| io::Error::other("cannot seal"))?;
        self.advance(part)?;
        Ok(sealed)
    }

    fn open(&mut self, part: Part, sealed: &[u8]) -> Result<Vec<u8>, BackupError> {
        let payload = Payload { msg: sealed, aad: &self.head };
        let plain = self.cipher.decrypt(&self.nonce(part), payload).map_err(|_| match part {
            Part::Check => BackupError::WrongPassphrase,
            _ => BackupError::Damaged("a part of it is not as it was written".to_owned()),
        })?;
        self.advance(part)?;
        Ok(plain)
    }

    fn advance(&mut self, part: Part) -> io::Result<()> {
        if part != Part::Check {
            self.next = self.next.checked_add(1).ok_or_else(|| io::Error::other("the backup is too large"))?;
        }
        Ok(())
    }
}

/// Seals what is written. [`Sealer::finish`] makes it whole.
pub(super) struct Sealer<W> {
    out: W,
    cipher: Cipher,
    waiting: Vec<u8>,
}

impl<W: Write> Sealer<W> {
    pub(super) fn new(mut out: W, passphrase: &Secret) -> Result<Self, BackupError> {
        if passphrase.expose().chars().count() < LEAST_PASSPHRASE {
            return Err(BackupError::WeakPassphrase);
        }
        let mut random = [0_u8; SALT + PREFIX];
        getrandom::fill(&mut random).map_err(|why| StoreError::Random(why.to_string()))?;
        let costs = [COST.0, COST.1, COST.2].into_iter().flat_map(u32::to_le_bytes);
        let mut head = [0_u8; HEAD];
        let bytes = MAGIC.iter().copied().chain(costs).chain(random);
        head.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        let mut cipher = Cipher::new(head, passphrase)?;
        out.write_all(&head)?;
        out.write_all(&cipher.seal(Part::Check, &[])?)?;
        Ok(Self { out, cipher, waiting: Vec::with_capacity(CHUNK) })
    }

    fn chunk(&mut self, part: Part) -> io::Result<()> {
        let sealed = self.cipher.seal(part, &self.waiting)?;
        let length = u32::try_from(sealed.len()).unwrap_or(u32::MAX) | if part == Part::Last { LAST } else { 0 };
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&sealed)?;
        self.waiting.clear();
        Ok(())
    }

    /// Writes the last chunk.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.chunk(Part::Last)?;
        self.out.flush()
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.waiting.len() == CHUNK {
            self.chunk(Part::Middle)?;
        }
        let room = CHUNK - self.waiting.len();
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.waiting.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens what was sealed.
pub(super) struct Opener<R> {
    input: R,
    cipher: Cipher,
    plain: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<R: Read> Opener<R> {
    pub(super) fn new(mut input: R, passphrase: &Secret) -> Result<Self, BackupError> {
        let mut head = [0_u8; HEAD];
        input.read_exact(&mut head).map_err(|_| BackupError::NoBackup)?;
        if !head.starts_with(MAGIC) {
            return Err(BackupError::NoBackup);
        }
        let mut cipher = Cipher::new(head, passphrase)?;
        let mut check = [0_u8; TAG];
        input.read_exact(&mut check)?;
        cipher.open(Part::Check, &check)?;
        Ok(Self { input, cipher, plain: Vec::new(), at: 0, ended: false })
    }

    fn chunk(&mut self) -> Result<(), BackupError> {
        let mut length = [0_u8; 4];
        self.input.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        let part = if length & LAST == 0 { Part::Middle } else { Part::Last };
        let length = (length & !LAST) as usize;
        if !(TAG..=CHUNK + TAG).contains(&length) {
            return Err(BackupError::Damaged("a part of it has the wrong size".to_owned()));
        }
        let mut sealed = vec![0_u8; length];
        self.input.read_exact(&mut sealed)?;
        self.plain = self.cipher.open(part, &sealed)?;
        self.at = 0;
        if part == Part::Last {
            self.ended = true;
            if self.input.read(&mut [0_u8])? != 0 {
                return Err(BackupError::Damaged("something stands behind its end".to_owned()));
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.plain.len() {
            if self.ended {
                return Ok(0);
            }
            self.chunk().map_err(io::Error::other)?;
        }
        let rest = self.plain.get(self.at..).unwrap_or_default();
        let taken = rest.len().min(out.len());
        out.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        self.at += taken;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut sealer = Sealer::new(&mut out, &Secret::new("correct horse")).unwrap();
        sealer.write_all(plain).unwrap();
        sealer.finish().unwrap();
        out
    }

    fn opened(bytes: &[u8], passphrase: &str) -> Result<Vec<u8>, BackupError> {
        let mut plain = Vec::new();
        Opener::new(bytes, &Secret::new(passphrase))?.read_to_end(&mut plain)?;
        Ok(plain)
    }

    #[test]
    fn what_is_sealed_opens_with_its_passphrase_only() {
        for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            let plain: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            let bytes = sealed(&plain);
            assert_eq!(opened(&bytes, "correct horse").unwrap(), plain, "{size}");
        }
        let bytes = sealed(b"sk-canary");
        assert!(memchr::memmem::find(&bytes, b"canary").is_none());
        assert!(matches!(opened(&bytes, "wrong horse"), Err(BackupError::WrongPassphrase)));
        assert!(matches!(Sealer::new(Vec::new(), &Secret::new("short")), Err(BackupError::WeakPassphrase)));
    }

    #[test]
    fn whatever_is_cut_off_changed_moved_or_added_is_noticed() {
        let plain: Vec<u8> = (0..2 * CHUNK + 10).map(|n| (n % 251) as u8).collect();
        let bytes = sealed(&plain);
        let start = HEAD + TAG;
        let chunk = 4 + CHUNK + TAG;
        for end in [start, start + 2, start + chunk, start + 2 * chunk, bytes.len() - 1] {
            assert!(matches!(opened(&bytes[..end], "correct horse"), Err(BackupError::Truncated)), "{end}");
        }
        assert!(matches!(opened(&bytes[..10], "correct horse"), Err(BackupError::NoBackup)));
        assert!(matches!(
            opened(b"PK something else entirely that is long enough to be a head", "x"),
            Err(BackupError::NoBackup)
        ));
        let mut swapped = bytes[..start].to_vec();
        swapped.extend_from_slice(&bytes[start + chunk..start + 2 * chunk]);
        swapped.extend_from_slice(&bytes[start..start + chunk]);
        swapped.extend_from_slice(&bytes[start + 2 * chunk..]);
        let mut flipped = bytes.clone();
        flipped[start + 100] ^= 1;
        let mut longer = bytes.clone();
        longer.push(0);
        // A middle chunk that claims to be the last.
        let mut shortened = bytes[..start + chunk].to_vec();
        shortened[start + 3] |= 0x80;
        for (what, bytes) in [("swapped", swapped), ("flipped", flipped), ("longer", longer), ("shortened", shortened)]
        {
            assert!(matches!(opened(&bytes, "correct horse"), Err(BackupError::Damaged(_))), "{what}");
        }
        let mut greedy = bytes;
        greedy[11] = 0xff;
        assert!(matches!(opened(&greedy, "correct horse"), Err(BackupError::Damaged(_))));
    }
}
