//! A minimal webhook server: records callbacks and responds with scripted statuses.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, SyncSender};
use std::time::{Duration, Instant};

use serde_json::Value;

/// In place of a status: reads the callback, then closes the connection without a response.
pub(crate) const CLOSE_WITHOUT_RESPONSE: u16 = 0;

/// A received callback.
pub(crate) struct Callback {
    pub(crate) at: Instant,
    head: String,
    pub(crate) text: String,
}

impl Callback {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The request target, including the query.
    pub(crate) fn path(&self) -> &str {
        let path = self.head.strip_prefix("POST ").and_then(|rest| rest.split_once(' '));
        path.expect("a callback should be a POST").0
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("a callback should be JSON")
    }
}

pub(crate) struct CallbackReceiver {
    address: String,
    callbacks: mpsc::Receiver<Callback>,
}

impl CallbackReceiver {
    /// Responds to the first callbacks with these statuses, and to all later ones with 200.
    pub(crate) fn responding_with(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port should be free");
        let address = listener.local_addr().expect("the listener should be bound").to_string();
        let (received, callbacks) = mpsc::sync_channel(100);
        let statuses = statuses.to_vec();
        std::thread::spawn(move || {
            let statuses = statuses.into_iter().chain(std::iter::repeat(200));
            for (stream, status) in listener.incoming().zip(statuses) {
                receive(&stream.expect("the sandbox should connect"), status, &received);
            }
        });
        Self { address, callbacks }
    }

    /// The URL of `path` on this server.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Waits for the next callback, up to 10 s.
    pub(crate) fn next(&self) -> Callback {
        self.callbacks.recv_timeout(Duration::from_secs(10)).expect("a callback should arrive")
    }
}

/// Receives one callback and responds with a status.
pub(crate) fn receive(mut stream: &TcpStream, status: u16, received: &SyncSender<Callback>) {
    let at = Instant::now();
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head).expect("the head should arrive");
    }
    let mut callback = Callback { at, head, text: String::new() };
    let length = callback.header("content-length").and_then(|length| length.parse().ok());
    let body = reader.take(length.expect("the request should have a content-length"));
    callback.text = std::io::read_to_string(body).expect("the body should arrive");
    // Fails if the test has already ended.
    drop(received.send(callback));
    if status == CLOSE_WITHOUT_RESPONSE {
        return;
    }
    let response = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(response.as_bytes()).expect("the sandbox should read the response");
}
