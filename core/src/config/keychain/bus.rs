//! A connection to the session bus: calls that wait for their answer, and signals that came meanwhile.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::{Duration, Instant};

use super::wire::{Reader, Value};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest message that is read.
const LARGEST: usize = 1 << 20;

const CALL: u8 = 1;
const ANSWER: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_TO: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// The bus or a service on it does not do as asked.
#[derive(Debug)]
pub(super) enum BusError {
    /// There is no bus, or the connection broke, or nobody answered in time.
    Gone(String),
    /// A service answered with an error: its name and words.
    Said(String, String),
}

impl From<io::Error> for BusError {
    fn from(why: io::Error) -> Self {
        match why.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Gone("no answer in time".to_owned()),
            _ => Self::Gone(why.to_string()),
        }
    }
}

/// Whom a call goes to.
pub(super) struct At<'a> {
    pub(super) service: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
}

struct Message {
    kind: u8,
    fields: Vec<(u8, Value)>,
    body: Vec<Value>,
}

impl Message {
    fn field(&self, code: u8) -> Option<&Value> {
        self.fields.iter().find(|(own, _)| *own == code).map(|(_, value)| value)
    }

    fn says(&self, code: u8) -> &str {
        self.field(code).and_then(Value::as_str).unwrap_or_default()
    }
}

/// A connection.
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    /// Signals that came while an answer was waited for.
    signals: VecDeque<Message>,
}

impl Bus {
    /// To the bus at an address as `DBUS_SESSION_BUS_ADDRESS` has it: alternatives parted by `;`.
    pub(super) fn connect(address: &str) -> Result<Self, BusError> {
        let mut last = BusError::Gone("no session bus is known".to_owned());
        for one in address.split(';').filter(|one| !one.is_empty()) {
            match open(one).and_then(Self::begin) {
                Ok(bus) => return Ok(bus),
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    fn begin(mut stream: UnixStream) -> Result<Self, BusError> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        // Who we are is known to the bus from the socket.
        stream.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\n")?;
        loop {
            let line = line(&mut stream)?;
            match line.split(' ').next() {
                Some("DATA") => {}
                Some("OK") => break,
                _ => return Err(BusError::Gone(format!("the bus says {line}"))),
            }
        }
        stream.write_all(b"BEGIN\r\n")?;
        let mut bus = Self { stream, serial: 0, signals: VecDeque::new() };
        bus.call(&BUS, "Hello", &[])?;
        Ok(bus)
    }

    /// Calls, and waits for the answer.
    pub(super) fn call(&mut self, at: &At<'_>, member: &str, arguments: &[Value]) -> Result<Vec<Value>, BusError> {
        self.serial += 1;
        let message = call(self.serial, at, member, arguments);
        self.stream.write_all(&message)?;
        let until = Instant::now() + PATIENCE;
        loop {
            let message = self.receive(until)?;
            let ours = message.field(REPLY_TO) == Some(&Value::U32(self.serial));
            match message.kind {
                ANSWER if ours => return Ok(message.body),
                ERROR if ours => {
                    let words = message.body.first().and_then(Value::as_str).unwrap_or_default();
                    return Err(BusError::Said(message.says(ERROR_NAME).to_owned(), words.to_owned()));
                }
                SIGNAL => self.signals.push_back(message),
                _ => {}
            }
        }
    }

    /// Wants the signals of an interface from now on.
    pub(super) fn subscribe(&mut self, interface: &str) -> Result<(), BusError> {
        let rule = format!("type='signal',interface='{interface}'");
        self.call(&BUS, "AddMatch", &[Value::text(&rule)]).map(drop)
    }

    /// The next signal of an object, for at most so long.
    pub(super) fn signal(&mut self, path: &str, member: &str, wait: Duration) -> Result<Vec<Value>, BusError> {
        let until = Instant::now() + wait;
        loop {
            let message = match self.signals.pop_front() {
                Some(message) => message,
                None => self.receive(until)?,
            };
            if message.kind == SIGNAL && message.says(PATH) == path && message.says(MEMBER) == member {
                return Ok(message.body);
            }
        }
    }

    fn receive(&mut self, until: Instant) -> Result<Message, BusError> {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(left))?;
        let mut head = [0_u8; 16];
        self.stream.read_exact(&mut head)?;
        let strange = || BusError::Gone("the bus says what is no message".to_owned());
        let (fixed, more) = sizes(&head).ok_or_else(strange)?;
        let mut rest = vec![0; more];
        self.stream.read_exact(&mut rest)?;
        let bytes = [head.as_slice(), &rest].concat();
        message(&bytes, fixed).ok_or_else(strange)
    }
}

const BUS: At<'static> =
    At { service: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus" };

/// Opens `unix:path=…` or `unix:abstract=…`.
fn open(address: &str) -> Result<UnixStream, BusError> {
    use std::os::linux::net::SocketAddrExt as _;
    let options = address.strip_prefix("unix:").unwrap_or_default();
    let option = |name: &str| options.split(',').find_map(|option| option.strip_prefix(name));
    if let Some(path) = option("path=") {
        return Ok(UnixStream::connect(plain(path))?);
    }
    if let Some(name) = option("abstract=") {
        return Ok(UnixStream::connect_addr(&SocketAddr::from_abstract_name(plain(name))?)?);
    }
    Err(BusError::Gone(format!("the session bus is at {address}, which cannot be reached from here")))
}

/// Without the `%41` of addresses.
fn plain(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_owned();
    for piece in pieces {
        match piece.split_at_checked(2).map(|(code, rest)| (u8::from_str_radix(code, 16), rest)) {
            Some((Ok(byte), rest)) => {
                bytes.push(byte);
                bytes.extend(rest.as_bytes());
            }
            _ => bytes.extend(format!("%{piece}").as_bytes()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn line(stream: &mut UnixStream) -> Result<String, BusError> {
    let mut line = Vec::new();
    let mut byte = [0_u8; 1];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte)?;
        line.extend(byte);
        if line.len() > 512 {
            return Err(BusError::Gone("the bus says too much".to_owned()));
        }
    }
    Ok(String::from_utf8_lossy(&line).trim().to_owned())
}

fn call(serial: u32, at: &At<'_>, member: &str, arguments: &[Value]) -> Vec<u8> {
    let mut body = Vec::new();
    arguments.iter().for_each(|argument| argument.write(&mut body));
    let field = |code: u8, value: Value| Value::Struct(vec![Value::Byte(code), Value::variant(value)]);
    let mut fields = vec![
        field(PATH, Value::path(at.path)),
        field(INTERFACE, Value::text(at.interface)),
        field(MEMBER, Value::text(member)),
        field(DESTINATION, Value::text(at.service)),
    ];
    if !arguments.is_empty() {
        let signature = arguments.iter().map(Value::signature).collect();
        fields.push(field(SIGNATURE, Value::Signature(signature)));
    }
    let mut out = vec![b'l', CALL, 0, 1];
    let size = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [Value::U32(size), Value::U32(serial), Value::Array("(yv)".to_owned(), fields)]
        .iter()
        .for_each(|value| value.write(&mut out));
    out.resize(out.len().next_multiple_of(8), 0);
    out.extend(body);
    out
}

/// Where the body begins, and how many bytes follow the first sixteen.
fn sizes(head: &[u8; 16]) -> Option<(usize, usize)> {
    let number = |at: usize| {
        let bytes: [u8; 4] = head.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let (body, fields) = (number(4)?, number(12)?);
    let fixed = fields.checked_add(16)?.checked_next_multiple_of(8)?;
    let all = fixed.checked_add(body)?;
    // Programs of one machine share one order of bytes; the other is not read.
    (head.first() == Some(&b'l') && all <= LARGEST).then_some((fixed, all - 16))
}

fn message(bytes: &[u8], fixed: usize) -> Option<Message> {
    let head = Reader::new(bytes).values("yyyyuua(yv)")?;
    let Some(Value::Byte(kind)) = head.get(1) else { return None };
    let field = |field: &Value| match field.items()[..] {
        [Value::Byte(code), Value::Variant(value)] => Some((*code, (**value).clone())),
        _ => None,
    };
    let fields: Vec<_> = head.get(6)?.items().into_iter().filter_map(field).collect();
    let mut message = Message { kind: *kind, fields, body: Vec::new() };
    let signature = message.says(SIGNATURE).to_owned();
    message.body = Reader::new(bytes.get(fixed..)?).values(&signature)?;
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_a_message_with_all_that_a_service_needs() {
        let at = At { service: "a.b", path: "/c", interface: "d.e" };
        let bytes = call(7, &at, "Do", &[Value::text("x"), Value::paths(&[])]);
        let head: [u8; 16] = bytes[..16].try_into().unwrap();
        let (fixed, more) = sizes(&head).unwrap();
        assert_eq!((fixed % 8, more), (0, bytes.len() - 16));
        let read = message(&bytes, fixed).unwrap();
        let fields = [PATH, INTERFACE, MEMBER, DESTINATION, SIGNATURE].map(|code| read.says(code).to_owned());
        assert_eq!((read.kind, fields.each_ref().map(String::as_str)), (CALL, ["/c", "d.e", "Do", "a.b", "sao"]));
        assert_eq!(read.body, [Value::text("x"), Value::paths(&[])]);
        let mut other = head;
        other[0] = b'B';
        assert_eq!(sizes(&other), None, "the other order of bytes");
        other = [0xff; 16];
        other[0] = b'l';
        assert_eq!(sizes(&other), None, "larger than anything");
    }

    #[test]
    fn addresses_without_a_bus_say_so() {
        for (address, words) in [
            ("", "no session bus"),
            ("tcp:host=x", "cannot be reached"),
            ("unix:path=/nowhere/bus;", "No such file"),
            ("unix:abstract=myelin-nobody-is-here,guid=1", "refused"),
        ] {
            let Err(BusError::Gone(why)) = Bus::connect(address) else { panic!("{address} answers") };
            assert!(why.contains(words), "{address}: {why}");
        }
        assert_eq!(plain("/a%20b%zz"), "/a b%zz");
    }
}
