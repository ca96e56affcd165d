//! Clients that ask, read and check every byte, and time what they got.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use memchr::memmem;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::figures::Tally;
use crate::now_ns;
use crate::shape::Ask;

/// How hard is pressed.
#[derive(Debug, Clone, Copy)]
pub struct Pressure {
    /// Connections, each with one request at a time.
    pub connections: usize,
    /// Requests a second over all connections; `None`: as fast as answers come.
    pub rate: Option<u32>,
    /// Ends the round: seconds, and requests over all connections (whatever comes first).
    pub seconds: f64,
    /// See `seconds`.
    pub requests: Option<u64>,
}

/// Whom to ask.
#[derive(Debug, Clone)]
pub struct Whom {
    /// Where it listens.
    pub address: SocketAddr,
    /// The key to send; without one no key header is sent.
    pub key: Option<String>,
    /// What else it wants in the head of every request.
    pub headers: Vec<(&'static str, String)>,
}

/// Presses on `whom` and returns what came back.
pub async fn press(whom: &Whom, ask: &Ask, pressure: Pressure) -> Tally {
    let begin = now_ns();
    let until = begin + nanoseconds(pressure.seconds);
    let left = Arc::new(AtomicU64::new(pressure.requests.unwrap_or(u64::MAX)));
    let mut workers = JoinSet::new();
    for worker in 0..pressure.connections {
        let (whom, ask, left) = (whom.clone(), ask.clone(), left.clone());
        workers.spawn(async move { work(worker, &whom, &ask, pressure, begin, until, &left).await });
    }
    let mut tally = Tally::default();
    while let Some(done) = workers.join_next().await {
        if let Ok(part) = done {
            tally.add(&part);
        }
    }
    tally.elapsed_ns = now_ns() - begin;
    tally
}

async fn work(
    worker: usize,
    whom: &Whom,
    ask: &Ask,
    pressure: Pressure,
    begin: u64,
    until: u64,
    left: &AtomicU64,
) -> Tally {
    let mut tally = Tally::default();
    let mut connection = None;
    let period = pressure.rate.map(|rate| pressure.connections as f64 / f64::from(rate));
    for round in 0_u64.. {
        let due = period.map(|period| {
            let share = period / pressure.connections as f64;
            begin + nanoseconds(round as f64 * period + worker as f64 * share)
        });
        if let Some(due) = due {
            tokio::time::sleep(Duration::from_nanos(due.saturating_sub(now_ns()))).await;
        }
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if now_ns() >= until || taken.is_err() {
            break;
        }
        if connection.is_none() {
            connection = connect(whom.address).await;
        }
        // A request that waited for its connection's turn waited: its time runs from when it was due.
        let start = due.unwrap_or_else(now_ns);
        let ok = match &mut connection {
            Some(open) => one(open, whom, ask, start, &mut tally).await.is_some(),
            None => false,
        };
        if !ok {
            tally.not_ok += 1;
            connection = None;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    tally
}

async fn connect(address: SocketAddr) -> Option<SendRequest<Full<Bytes>>> {
    let socket = TcpStream::connect(address).await.ok()?;
    socket.set_nodelay(true).ok()?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.ok()?;
    tokio::spawn(connection);
    Some(sender)
}

/// One request; `None`: it was not answered as it must be.
async fn one(
    connection: &mut SendRequest<Full<Bytes>>,
    whom: &Whom,
    ask: &Ask,
    start: u64,
    tally: &mut Tally,
) -> Option<()> {
    connection.ready().await.ok()?;
    let response = connection.send_request(request(whom, ask)?).await.ok()?;
    let good = response.status().is_success();
    let mut body = response.into_body();
    let mut reader = Reader::default();
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame.ok()?.data_ref() {
            reader.read(data, ask, start, tally);
        }
    }
    let whole = if ask.chunks == 0 { reader.bytes > 0 } else { reader.chunks == ask.chunks && reader.ended };
    if !(good && whole) {
        if tally.sample.is_none() {
            let said = String::from_utf8_lossy(reader.tail.get(..reader.tail.len().min(300))?);
            let whole = if reader.ended { "an end" } else { "no end" };
            tally.sample = Some(format!("{} of {} chunks and {whole}: {said}", reader.chunks, ask.chunks));
        }
        return None;
    }
    tally.ok += 1;
    tally.latency.record(now_ns() - start);
    Some(())
}

fn request(whom: &Whom, ask: &Ask) -> Option<Request<Full<Bytes>>> {
    let mut request = Request::post(ask.path.as_str())
        .header(http::header::HOST, whom.address.to_string())
        .header(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(key) = &whom.key {
        let bearer = ask.key_header == "authorization";
        request = request.header(ask.key_header, if bearer { format!("Bearer {key}") } else { key.clone() });
    }
    for (name, value) in &whom.headers {
        request = request.header(*name, value.as_str());
    }
    request.body(Full::new(ask.body.clone())).ok()
}

/// Finds the stamps of chunks in an answer, however it is cut.
#[derive(Default)]
struct Reader {
    bytes: usize,
    chunks: u32,
    ended: bool,
    repeats: bool,
    tail: Vec<u8>,
}

impl Reader {
    fn read(&mut self, data: &[u8], ask: &Ask, start: u64, tally: &mut Tally) {
        let now = now_ns();
        if self.bytes == 0 {
            tally.first_byte.record(now - start);
        }
        self.bytes += data.len();
        self.tail.extend_from_slice(data);
        if ask.chunks == 0 {
            // Only the beginning, to show what a wrong answer said.
            self.tail.truncate(300);
            return;
        }
        let mut read = 0;
        let repeated = ask.repeats.and_then(|mark| memmem::find(&self.tail, mark));
        let fresh = if self.repeats { 0 } else { repeated.unwrap_or(self.tail.len()) };
        self.repeats |= repeated.is_some();
        while let Some((born, next)) = self.tail.get(read..fresh).and_then(stamp) {
            if self.chunks == 0 {
                tally.first_token.record(now - start);
            }
            self.chunks += 1;
            tally.chunks += 1;
            tally.delay.record(now.saturating_sub(born));
            read += next;
        }
        self.ended |= memmem::find(&self.tail, ask.end).is_some();
        // What may be the beginning of a stamp or of the end stays.
        let keep = self.tail.len().saturating_sub(64).max(read);
        self.tail.drain(..keep);
    }
}

/// The first whole `@ns@`, and where the text after it begins.
fn stamp(text: &[u8]) -> Option<(u64, usize)> {
    let mut from = 0;
    loop {
        let open = from + memchr::memchr(b'@', text.get(from..)?)?;
        let rest = text.get(open + 1..)?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        match rest.get(digits) {
            None => return None,
            Some(b'@') if digits > 0 => {
                let born = std::str::from_utf8(rest.get(..digits)?).ok()?.parse().ok()?;
                return Some((born, open + digits + 2));
            }
            Some(_) => from = open + 1,
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a duration of seconds, never negative")]
fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::{Format, Shape, Wire, ask};

    const SHAPE: Shape = Shape { wire: Wire::Chat, latency_ms: 0, chunks: 5, interval_ms: 0, size: 32 };

    #[test]
    fn stamps_are_found_however_the_stream_is_cut() {
        let ask = ask(Format::Chat, SHAPE, 200);
        let text = b"data: {\"x\":\"@17@xxx\"}\n\ndata: {\"x\":\"mail@home @18@\"}\n\ndata: [DONE]\n\n";
        for cut in 0..text.len() {
            let (mut reader, mut tally) = (Reader::default(), Tally::default());
            reader.read(&text[..cut], &ask, 0, &mut tally);
            reader.read(&text[cut..], &ask, 0, &mut tally);
            assert_eq!((reader.chunks, reader.ended), (2, true), "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn the_mock_answers_what_the_load_expects() {
        let address = crate::mock::start().await.unwrap();
        let whom = Whom { address, key: None, headers: Vec::new() };
        let pressure = Pressure { connections: 3, rate: None, seconds: 5.0, requests: Some(30) };
        let own = [Format::Chat, Format::Messages, Format::Responses, Format::Gemini];
        for ((wire, _), format) in Wire::ALL.into_iter().zip(own) {
            for chunks in [0, 5] {
                let tally = press(&whom, &ask(format, Shape { wire, chunks, ..SHAPE }, 2_000), pressure).await;
                assert_eq!((tally.ok, tally.not_ok), (30, 0), "{wire:?} {chunks}: {:?}", tally.sample);
                assert_eq!(tally.chunks, 30 * u64::from(chunks));
            }
        }
    }

    #[tokio::test]
    async fn a_wrong_answer_is_not_counted_as_one() {
        let address = crate::mock::start().await.unwrap();
        let mut wrong = ask(Format::Chat, SHAPE, 200);
        wrong.chunks = 6;
        let pressure = Pressure { connections: 1, rate: None, seconds: 5.0, requests: Some(2) };
        let tally = press(&Whom { address, key: None, headers: Vec::new() }, &wrong, pressure).await;
        assert_eq!((tally.ok, tally.not_ok), (0, 2));
    }
}
