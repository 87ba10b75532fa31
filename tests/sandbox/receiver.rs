//! The smallest server for callbacks: answers as it is told, and hands on what came.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, SyncSender};
use std::time::{Duration, Instant};

use serde_json::Value;

/// In place of a status: the callback is read, and the connection closed without an answer.
pub(crate) const HANG_UP: u16 = 0;

/// One callback as it came.
pub(crate) struct Call {
    pub(crate) at: Instant,
    head: String,
    pub(crate) text: String,
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// What stands between `POST ` and the version.
    pub(crate) fn path(&self) -> &str {
        let path = self.head.strip_prefix("POST ").and_then(|rest| rest.split_once(' '));
        path.expect("a callback should be a POST").0
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("a callback should be JSON")
    }
}

pub(crate) struct Receiver {
    address: String,
    calls: mpsc::Receiver<Call>,
}

impl Receiver {
    /// Answers the first callbacks with these statuses, and all others with 200.
    pub(crate) fn answering(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there should be a free port");
        let address = listener.local_addr().expect("it should be bound").to_string();
        let (hand_on, calls) = mpsc::sync_channel(100);
        let statuses = statuses.to_vec();
        std::thread::spawn(move || {
            let statuses = statuses.into_iter().chain(std::iter::repeat(200));
            for (stream, status) in listener.incoming().zip(statuses) {
                receive(&stream.expect("it should connect"), status, &hand_on);
            }
        });
        Self { address, calls }
    }

    /// A URL that leads here.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next callback.
    pub(crate) fn next(&self) -> Call {
        self.calls.recv_timeout(Duration::from_secs(10)).expect("a callback should come")
    }
}

fn receive(mut stream: &TcpStream, status: u16, hand_on: &SyncSender<Call>) {
    let at = Instant::now();
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head).expect("the head should come");
    }
    let mut call = Call { at, head, text: String::new() };
    let length = call.header("content-length").and_then(|length| length.parse().ok());
    let body = reader.take(length.expect("the length should be announced"));
    call.text = std::io::read_to_string(body).expect("the body should come");
    // The test may have ended.
    drop(hand_on.send(call));
    if status == HANG_UP {
        return;
    }
    let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).expect("the answer should be taken");
}
