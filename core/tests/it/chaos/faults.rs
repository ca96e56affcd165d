//! The faults: a mock provider with a script, or a socket that misbehaves below HTTP.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use myelin_testkit::{Delivery, MockServer, Refusal, Script, Verbatim};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::mock_channel;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Refuses,
    Resets,
    StallsBeforeTheHead,
    ClosesWithoutAWord,
    SpeaksNoHttp,
    StallsBeforeTheBody,
    CutBeforeContent,
    AbortedBeforeContent,
    AnswersWithAPage,
    AnswersWithHalfAValue,
    AnswersWithTheWrongValue,
    FailsInsideTheAnswer,
    SaysNothing,
    Status(u16),
    LimitedWithout,
    LimitedSeconds,
    LimitedDate,
    LimitedMillis,
    LimitedInWords,
    CutAfterContent,
    AbortedAfterContent,
    StallsAfterContent,
    FailsAfterContent,
    GarbageAfterContent,
    Drips,
    ByteByByte,
    CarriageReturns,
    Comments,
}

impl Fault {
    /// The caller has seen nothing when they strike.
    pub const BEFORE: [Self; 21] = [
        Self::Refuses,
        Self::Resets,
        Self::StallsBeforeTheHead,
        Self::ClosesWithoutAWord,
        Self::SpeaksNoHttp,
        Self::StallsBeforeTheBody,
        Self::CutBeforeContent,
        Self::AbortedBeforeContent,
        Self::AnswersWithAPage,
        Self::AnswersWithHalfAValue,
        Self::AnswersWithTheWrongValue,
        Self::FailsInsideTheAnswer,
        Self::Status(500),
        Self::Status(502),
        Self::Status(503),
        Self::Status(529),
        Self::LimitedWithout,
        Self::LimitedSeconds,
        Self::LimitedDate,
        Self::LimitedMillis,
        Self::LimitedInWords,
    ];
    /// The caller has seen something.
    pub const AFTER: [Self; 5] = [
        Self::CutAfterContent,
        Self::AbortedAfterContent,
        Self::StallsAfterContent,
        Self::FailsAfterContent,
        Self::GarbageAfterContent,
    ];
    /// They do no harm.
    pub const HARMLESS: [Self; 4] = [Self::Drips, Self::ByteByByte, Self::CarriageReturns, Self::Comments];

    /// How long the bad channel is waited for: not long for what stalls, long enough on a busy machine for what does not.
    pub fn timeouts(self) -> Value {
        let (head, idle) = match self {
            Self::StallsBeforeTheHead | Self::StallsBeforeTheBody => (250, 250),
            Self::StallsAfterContent => (10_000, 300),
            _ => (10_000, 10_000),
        };
        json!({"connect_ms": 5_000, "first_byte_ms": head, "first_token_ms": head, "idle_ms": idle})
    }

    /// What a caller may get where nobody else can answer.
    pub fn statuses(self) -> &'static [u16] {
        match self {
            Self::LimitedWithout
            | Self::LimitedSeconds
            | Self::LimitedDate
            | Self::LimitedMillis
            | Self::LimitedInWords => &[429],
            Self::StallsBeforeTheHead | Self::StallsBeforeTheBody => &[504],
            Self::Status(503 | 529) => &[503, 529],
            _ => &[500, 502, 503, 504, 529],
        }
    }

    /// A moment 45 s from now, as a header says it.
    pub fn in_a_while() -> String {
        #[expect(clippy::disallowed_methods, reason = "the date is one that the gateway compares with its own clock")]
        let at = SystemTime::now() + Duration::from_secs(45);
        http_date(at)
    }

    fn socket(self, stream: bool) -> Option<Misdeed> {
        Some(match self {
            // The mock's scripts cut streams; whole answers are cut by a socket.
            Self::StallsBeforeTheBody | Self::StallsAfterContent if !stream => Misdeed::HalfThenStall,
            Self::CutBeforeContent | Self::CutAfterContent if !stream => Misdeed::HalfThenClose,
            Self::AbortedBeforeContent | Self::AbortedAfterContent if !stream => Misdeed::HalfThenReset,
            Self::Resets => Misdeed::Reset,
            Self::StallsBeforeTheHead => Misdeed::Stall,
            Self::ClosesWithoutAWord => Misdeed::Close,
            Self::SpeaksNoHttp => Misdeed::Noise,
            _ => return None,
        })
    }

    fn script(self, stream: bool) -> Option<Script> {
        let delivered = |delivery: Delivery| Some(Script::delivered(delivery));
        // A whole answer is one frame.
        let after = if stream { 6 } else { 0 };
        let verbatim = |content_type: &str, body: &str| {
            let content_type =
                if stream && content_type == "application/json" { "text/event-stream" } else { content_type };
            let body = body.as_bytes().to_vec();
            Some(Script {
                verbatim: Some(Verbatim { status: 200, content_type: content_type.into(), body }),
                ..Script::default()
            })
        };
        let limited = |name: &str, value: &str| Some(Script::error(429).header(name, value));
        match self {
            Self::StallsBeforeTheBody => delivered(Delivery { stall_after: Some(0), ..Delivery::default() }),
            Self::CutBeforeContent if stream => delivered(Delivery { cut_after: Some(1), ..Delivery::default() }),
            Self::CutBeforeContent => delivered(Delivery { cut_after: Some(0), ..Delivery::default() }),
            Self::AbortedBeforeContent => delivered(Delivery { abort_after: Some(0), ..Delivery::default() }),
            Self::AnswersWithAPage => verbatim("text/html", "<!doctype html><title>Sign in</title>"),
            Self::AnswersWithHalfAValue if stream => verbatim("application/json", "data: {\"id\":\"x\",\"choi"),
            Self::AnswersWithHalfAValue => verbatim("application/json", "{\"id\":\"x\",\"choices\":[{\"mess"),
            Self::AnswersWithTheWrongValue if stream => verbatim("application/json", "data: {\"ok\":true}\n\n"),
            Self::AnswersWithTheWrongValue => verbatim("application/json", "[1,2,3]"),
            Self::FailsInsideTheAnswer if stream => {
                let refusal = Refusal::with_status(500, "scripted", "scripted failure".to_owned());
                delivered(Delivery { error_after: Some((0, refusal)), ..Delivery::default() })
            }
            Self::FailsInsideTheAnswer => verbatim(
                "application/json",
                "{\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\",\"code\":null}}",
            ),
            Self::SaysNothing => Some(Script::text("")),
            Self::Status(status) => Some(Script::error(status)),
            Self::LimitedWithout => Some(Script::error(429)),
            Self::LimitedSeconds => limited("retry-after", "30"),
            Self::LimitedDate => limited("retry-after", &Self::in_a_while()),
            Self::LimitedMillis => limited("retry-after-ms", "20000"),
            Self::LimitedInWords => {
                let words = "Rate limit reached. Please try again in 20s.";
                Some(Script {
                    error: Some(Refusal::with_status(429, "scripted", words.to_owned())),
                    ..Script::default()
                })
            }
            Self::CutAfterContent => delivered(Delivery { cut_after: Some(after), ..Delivery::default() }),
            Self::AbortedAfterContent => delivered(Delivery { abort_after: Some(after), ..Delivery::default() }),
            Self::StallsAfterContent => delivered(Delivery { stall_after: Some(after), ..Delivery::default() }),
            Self::FailsAfterContent if stream => {
                let refusal = Refusal::with_status(529, "scripted", "scripted failure".to_owned());
                delivered(Delivery { error_after: Some((after, refusal)), ..Delivery::default() })
            }
            Self::FailsAfterContent => Some(Script::error(529)),
            Self::GarbageAfterContent if stream => verbatim(
                "application/json",
                "data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"You \"},\"finish_reason\":null}]}\n\n\u{1}\u{2}not a frame\n\n",
            ),
            Self::GarbageAfterContent => verbatim("application/json", "{\"id\":\"x\",\"choices\":\u{1}}"),
            Self::Drips => delivered(Delivery { pace: Duration::from_millis(60), ..Delivery::default() }),
            Self::ByteByByte => delivered(Delivery { split: Some(1), ..Delivery::default() }),
            Self::CarriageReturns => delivered(Delivery { crlf: true, split: Some(3), ..Delivery::default() }),
            Self::Comments => delivered(Delivery { comments: true, ..Delivery::default() }),
            _ => None,
        }
    }
}

/// A Responses stream that turns into garbage.
const RESPONSES_GARBAGE: &str = concat!(
    "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_x\",\"object\":\"response\",\"created_at\":1,\"status\":\"in_progress\",\"model\":\"m\",\"output\":[]}}\n\n",
    "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":1,\"output_index\":0,\"item\":{\"id\":\"msg_x\",\"type\":\"message\",\"status\":\"in_progress\",\"role\":\"assistant\",\"content\":[]}}\n\n",
    "event: response.content_part.added\ndata: {\"type\":\"response.content_part.added\",\"sequence_number\":2,\"item_id\":\"msg_x\",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":\"output_text\",\"text\":\"\",\"annotations\":[]}}\n\n",
    "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":3,\"item_id\":\"msg_x\",\"output_index\":0,\"content_index\":0,\"delta\":\"You \"}\n\n",
    "\u{1}\u{2}not a frame\n\n",
);

fn http_date(at: SystemTime) -> String {
    let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = at.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (days_gone, rest) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days, after Howard Hinnant.
    let z = days_gone as i64 + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} GMT",
        days[(days_gone % 7) as usize],
        months[(month - 1) as usize],
        rest / 3_600,
        rest % 3_600 / 60,
        rest % 60
    )
}

/// What a socket does below HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Misdeed {
    Reset,
    Stall,
    Close,
    Noise,
    HalfThenStall,
    HalfThenClose,
    HalfThenReset,
}

/// A fault at a provider, and a good provider beside it.
pub struct Trouble {
    pub fault: Fault,
    mock: MockServer,
    /// Where the fault lives, if below HTTP: for streams, for whole answers.
    sockets: [Option<SocketAddr>; 2],
}

impl Trouble {
    pub async fn start(fault: Fault) -> Self {
        let mock = MockServer::start().await.unwrap();
        let mut sockets = [None; 2];
        for (stream, socket) in [true, false].into_iter().zip(&mut sockets) {
            *socket = match fault.socket(stream) {
                _ if fault == Fault::Refuses => {
                    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                    Some(listener.local_addr().unwrap())
                }
                Some(misdeed) => Some(misbehave(misdeed).await),
                None => None,
            };
        }
        Self { fault, mock, sockets }
    }

    /// The next requests at the bad channel meet the fault.
    pub fn arm(&self, stream: bool) {
        // As many as one caller may make.
        for _ in 0..4 {
            self.arm_once(stream);
        }
    }

    /// The next request at the bad channel meets the fault.
    pub fn arm_once(&self, stream: bool) {
        if let Some(script) = self.fault.script(stream) {
            let path = (self.fault == Fault::GarbageAfterContent && stream).then(|| "chat/completions".to_owned());
            self.mock.script(Script { path, ..script }.provider("openai"));
        }
        if self.fault == Fault::GarbageAfterContent && stream {
            // Garbage begins like an answer, in the words of who was asked.
            let body = RESPONSES_GARBAGE.as_bytes().to_vec();
            let verbatim = Verbatim { status: 200, content_type: "text/event-stream".into(), body };
            let path = Some("responses".to_owned());
            self.mock.script(Script { path, verbatim: Some(verbatim), ..Script::default() }.provider("openai"));
        }
    }

    pub fn channel(&self, stream: bool) -> Value {
        let mut channel = mock_channel(&self.mock, "bad", "openai", "openai");
        if let Some(address) = self.sockets[usize::from(!stream)] {
            channel["base_urls"] = json!([format!("http://{address}/v1")]);
        }
        channel
    }

    pub fn good(&self) -> Value {
        mock_channel(&self.mock, "good", "anthropic", "anthropic")
    }
}

async fn misbehave(misdeed: Misdeed) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(misbehave_at(misdeed, stream));
        }
    });
    address
}

async fn misbehave_at(misdeed: Misdeed, mut stream: TcpStream) {
    let mut head = [0; 1_024];
    let _ = stream.read(&mut head).await;
    match misdeed {
        Misdeed::Stall => tokio::time::sleep(Duration::from_secs(30)).await,
        Misdeed::Close => {}
        Misdeed::Noise => drop(stream.write_all(b"\x00\x01\x02 220 mail.example ESMTP\r\n\r\n").await),
        Misdeed::Reset => reset(&stream),
        Misdeed::HalfThenStall | Misdeed::HalfThenClose | Misdeed::HalfThenReset => {
            let half =
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{\"id\":\"x\",\"choi";
            let _ = stream.write_all(half).await;
            match misdeed {
                Misdeed::HalfThenStall => tokio::time::sleep(Duration::from_secs(30)).await,
                Misdeed::HalfThenReset => reset(&stream),
                _ => {}
            }
        }
    }
}

/// Closing will be a reset and no goodbye.
fn reset(stream: &TcpStream) {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}
