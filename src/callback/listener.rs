//! Receives callbacks over HTTP.
//!
//! The listener has threads of its own, so that ImageKit gets its responses in time whatever the
//! rest of the program does: one for the connections, one for the [`Inbox`].

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::body::{BODY_BYTES_MAX, Callback, Malformed};
use super::url::row_of_path;
use super::{Token, Verifier};

/// Connections at a time. Others wait in the system's queue.
const CONNECTIONS_MAX: u32 = 64;
/// How long clients are waited for. All in all below the 30 s that ImageKit waits for a response.
const PATIENCE: Patience = Patience {
    head: Duration::from_secs(5),
    body: Duration::from_secs(10),
    connection: Duration::from_secs(25),
};
/// Bytes of the head of a request. The header of a callback is far below.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// Callbacks that are stored together.
const GROUP_MAX: usize = 256;
/// Pause after the system refused a connection, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long the callbacks that are being received may take when the listener stops.
const STOP_MAX: Duration = Duration::from_secs(5);

/// A callback and the row that its URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The row of the request that carried the URL.
    pub row: u64,
    /// What was posted to it.
    pub callback: Callback,
}

/// What became of a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// It is the first of its row and service, and now stored.
    New,
    /// The same was stored before.
    Repeated,
    /// Another result was stored before, and stays.
    Contradicts,
}

/// Why callbacks could not be stored.
pub(crate) type InboxError = Box<dyn std::error::Error + Send + Sync>;

/// Stores callbacks.
pub(crate) trait Inbox: Send + 'static {
    /// Stores callbacks durably: when this returns, they survive a crash. Returns what became of
    /// each, in order.
    ///
    /// # Errors
    /// They cannot be stored. ImageKit then sends them again.
    fn keep(&mut self, arrivals: &[Arrival]) -> Result<Vec<Receipt>, InboxError>;
}

/// What a listener lets in.
#[derive(Debug)]
pub(crate) struct Gate {
    /// The token of the run.
    pub token: Token,
    /// Verifies signatures; `None` if the callbacks are not signed.
    pub verifier: Option<Verifier>,
}

/// Numbers of received messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Callbacks that were stored.
    pub new: u64,
    /// Callbacks that had been stored before.
    pub repeated: u64,
    /// Callbacks with another result than the stored one.
    pub contradicting: u64,
    /// Messages whose signature was refused.
    pub unsigned: u64,
    /// Messages that are not callbacks.
    pub malformed: u64,
    /// Requests to other URLs, or without a body in time.
    pub elsewhere: u64,
}

/// Receives callbacks until it is dropped.
pub(crate) struct Listener {
    address: SocketAddr,
    shared: Arc<Shared>,
    news: watch::Receiver<u64>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A callback whose sender waits for a response.
type Waiting = (Arrival, oneshot::Sender<()>);

#[derive(Debug, Default)]
struct Shared {
    new: AtomicU64,
    repeated: AtomicU64,
    contradicting: AtomicU64,
    unsigned: AtomicU64,
    malformed: AtomicU64,
    elsewhere: AtomicU64,
    failure: OnceLock<String>,
}

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// To send the head of its request.
    head: Duration,
    /// To send the body.
    body: Duration,
    /// For everything, including the storing of its callback.
    connection: Duration,
}

/// What answers the requests.
struct Door {
    gate: Gate,
    patience: Patience,
    inbox: mpsc::Sender<Waiting>,
    shared: Arc<Shared>,
}

impl Listener {
    /// Receives the callbacks of a run on this socket.
    ///
    /// # Errors
    /// The system refuses a thread or the socket.
    pub(crate) fn start(
        socket: std::net::TcpListener,
        gate: Gate,
        inbox: impl Inbox,
    ) -> io::Result<Self> {
        Self::start_with(socket, gate, inbox, PATIENCE)
    }

    fn start_with(
        socket: std::net::TcpListener,
        gate: Gate,
        inbox: impl Inbox,
        patience: Patience,
    ) -> io::Result<Self> {
        let address = socket.local_addr()?;
        socket.set_nonblocking(true)?;
        let shared = Arc::new(Shared::default());
        let (tell, news) = watch::channel(0);
        let (sender, arrivals) = mpsc::channel(GROUP_MAX);
        let door = Arc::new(Door { gate, patience, inbox: sender, shared: Arc::clone(&shared) });
        let keeper = Keeper { inbox, shared: Arc::clone(&shared), tell };
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let socket = {
            let _entered = runtime.enter();
            TcpListener::from_std(socket)?
        };
        let name = |name: &str| thread::Builder::new().name(name.to_owned());
        let keeper = name("inbox").spawn(move || keeper.run(arrivals))?;
        let thread = name("callbacks").spawn(move || {
            runtime.block_on(serve(socket, door, stopped));
            // Closes the connections, and with them the inbox.
            drop(runtime);
            drop(keeper.join());
        })?;
        Ok(Self { address, shared, news, stop: Some(stop), thread: Some(thread) })
    }

    /// The address of the socket.
    #[must_use]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes whenever callbacks were stored: how many in all.
    #[must_use]
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.clone()
    }

    /// What was received so far.
    #[must_use]
    pub(crate) fn counts(&self) -> Counts {
        let Shared { new, repeated, contradicting, unsigned, malformed, elsewhere, .. } =
            &*self.shared;
        Counts {
            new: new.load(Relaxed),
            repeated: repeated.load(Relaxed),
            contradicting: contradicting.load(Relaxed),
            unsigned: unsigned.load(Relaxed),
            malformed: malformed.load(Relaxed),
            elsewhere: elsewhere.load(Relaxed),
        }
    }

    /// The first reason for which callbacks could not be stored.
    #[must_use]
    pub(crate) fn failure(&self) -> Option<&str> {
        self.shared.failure.get().map(String::as_str)
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Listener {
    /// Stops; callbacks that are being received are still stored.
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic was already printed by its thread.
            drop(thread.join());
        }
    }
}

/// Stores what the door lets in.
struct Keeper<I> {
    inbox: I,
    shared: Arc<Shared>,
    tell: watch::Sender<u64>,
}

impl<I: Inbox> Keeper<I> {
    /// Stores callbacks in groups until the door is closed.
    fn run(mut self, mut waiting: mpsc::Receiver<Waiting>) {
        while let Some(first) = waiting.blocking_recv() {
            let (mut arrivals, mut senders) = (vec![first.0], vec![first.1]);
            while arrivals.len() < GROUP_MAX
                && let Ok((arrival, sender)) = waiting.try_recv()
            {
                arrivals.push(arrival);
                senders.push(sender);
            }
            match self.inbox.keep(&arrivals) {
                Ok(receipts) => self.tell(&receipts, senders),
                Err(error) => {
                    // Dropping the senders refuses the callbacks; ImageKit sends them again.
                    let error = crate::error::chain(&*error);
                    tracing::error!("cannot store callbacks: {error}");
                    self.shared.failure.get_or_init(|| error);
                }
            }
        }
    }

    fn tell(&self, receipts: &[Receipt], senders: Vec<oneshot::Sender<()>>) {
        for receipt in receipts {
            let count = match receipt {
                Receipt::New => &self.shared.new,
                Receipt::Repeated => &self.shared.repeated,
                Receipt::Contradicts => &self.shared.contradicting,
            };
            count.fetch_add(1, Relaxed);
        }
        for sender in senders {
            // The client may have gone.
            let _gone = sender.send(());
        }
        let total = self.shared.new.load(Relaxed);
        self.tell.send_if_modified(|told| std::mem::replace(told, total) != total);
    }
}

/// Accepts connections until it is told to stop, then waits for those that are open.
async fn serve(socket: TcpListener, door: Arc<Door>, mut stopped: oneshot::Receiver<()>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
    loop {
        let accepted = async {
            let permit = Arc::clone(&connections).acquire_owned().await;
            (permit, socket.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            accepted = accepted => accepted,
            _ = &mut stopped => break,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let door = Arc::clone(&door);
        tokio::spawn(async move {
            connection(stream, door).await;
            drop(permit);
        });
    }
    drop(socket);
    // All permits are back when all connections are closed.
    drop(timeout(STOP_MAX, connections.acquire_many(CONNECTIONS_MAX)).await);
}

/// Serves one request on a connection.
async fn connection(stream: TcpStream, door: Arc<Door>) {
    let patience = door.patience;
    let service = service_fn(move |request| {
        let door = Arc::clone(&door);
        async move {
            let mut response = Response::new(Empty::<Bytes>::new());
            *response.status_mut() = door.answer(request).await;
            Ok::<_, Infallible>(response)
        }
    });
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .keep_alive(false);
    let exchange = server.serve_connection(TokioIo::new(stream), service);
    // Whatever goes wrong on a connection, the client gets no 200.
    drop(timeout(patience.connection, exchange).await);
}

impl Door {
    /// 200 for a callback of the run that is stored, 503 if it cannot be stored, and 404 for
    /// anything else, without a reason.
    async fn answer(&self, request: Request<Incoming>) -> StatusCode {
        let row = row_of_path(request.uri().path(), &self.gate.token);
        let Some(row) = row.filter(|_| request.method() == Method::POST) else {
            self.shared.elsewhere.fetch_add(1, Relaxed);
            return StatusCode::NOT_FOUND;
        };
        let callback = match self.receive(request).await {
            Ok(callback) => callback,
            Err(refusal) => {
                tracing::debug!("refused a message for row {row}: {refusal}");
                self.count(&refusal);
                return StatusCode::NOT_FOUND;
            }
        };
        let (sender, kept) = oneshot::channel();
        let sent = self.inbox.send((Arrival { row, callback }, sender)).await;
        match (sent, kept.await) {
            (Ok(()), Ok(())) => StatusCode::OK,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Reads and verifies a callback.
    async fn receive(&self, request: Request<Incoming>) -> Result<Callback, Refusal> {
        let (head, body) = request.into_parts();
        if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
            return Err(Malformed::TooLarge.into());
        }
        let body = timeout(self.patience.body, Limited::new(body, BODY_BYTES_MAX).collect()).await;
        let body = match body {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(Malformed::TooLarge.into());
            }
            Ok(Err(_)) | Err(_) => return Err(Refusal::Incomplete),
        };
        if let Some(verifier) = &self.gate.verifier {
            verifier.verify(&head.headers, &body)?;
        }
        Ok(Callback::parse(&body)?)
    }

    fn count(&self, refusal: &Refusal) {
        let count = match refusal {
            Refusal::Signature(_) => &self.shared.unsigned,
            Refusal::Malformed(_) => &self.shared.malformed,
            Refusal::Incomplete => &self.shared.elsewhere,
        };
        count.fetch_add(1, Relaxed);
    }
}

/// Why a message with the right token is refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Signature(#[from] super::Refused),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("incomplete")]
    Incomplete,
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::io::{Read as _, Write as _};
    use std::net::Ipv4Addr;
    use std::sync::{Mutex, PoisonError};

    use super::*;
    use crate::callback::CallbackUrl;

    const FAILED: &str = r#"{"service":"remove-bg","status":"FAILURE","fileId":"a"}"#;
    const OTHER: &str = r#"{"service":"remove-bg","status":"SUCCESS","fileObject":{"fileId":"a"}}"#;
    const SECRET: &str = "whsec_dGhlIHdob2xlIHN0cmluZyBpcyB0aGUga2V5";

    /// An inbox in memory.
    #[derive(Clone, Default)]
    struct Memory {
        kept: Arc<Mutex<HashMap<u64, Callback>>>,
        is_broken: bool,
    }

    impl Memory {
        fn rows(&self) -> Vec<u64> {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let mut rows: Vec<u64> = kept.keys().copied().collect();
            rows.sort_unstable();
            rows
        }
    }

    impl Inbox for Memory {
        fn keep(&mut self, arrivals: &[Arrival]) -> Result<Vec<Receipt>, InboxError> {
            if self.is_broken {
                return Err("no space left on device".into());
            }
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let keep = |Arrival { row, callback }: &Arrival| match kept.get(row) {
                None => {
                    kept.insert(*row, callback.clone());
                    Receipt::New
                }
                Some(before) if before == callback => Receipt::Repeated,
                Some(_) => Receipt::Contradicts,
            };
            Ok(arrivals.iter().map(keep).collect())
        }
    }

    struct Receiving {
        listener: Listener,
        memory: Memory,
        /// The path of row 7.
        path: String,
    }

    fn receiving(secret: Option<&str>, memory: Memory, patience: Patience) -> Receiving {
        let url = CallbackUrl {
            public: "http://127.0.0.1".parse().unwrap(),
            token: Token::random().unwrap(),
        };
        let path = url.of_row(7).as_str().strip_prefix("http://127.0.0.1").unwrap().to_owned();
        let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let verifier = secret.map(|secret| Verifier::new(&secret.to_owned().into()));
        let gate = Gate { token: url.token, verifier };
        let listener = Listener::start_with(socket, gate, memory.clone(), patience).unwrap();
        Receiving { listener, memory, path }
    }

    fn plain() -> Receiving {
        receiving(None, Memory::default(), PATIENCE)
    }

    impl Receiving {
        fn connect(&self) -> std::net::TcpStream {
            std::net::TcpStream::connect(self.listener.address()).unwrap()
        }

        /// The status of the response to these bytes; `None` without a response.
        fn send(&self, bytes: &[u8]) -> Option<u16> {
            let mut stream = self.connect();
            // The listener may close the connection before it has read everything.
            drop(stream.write_all(bytes));
            status(&mut stream)
        }

        fn post(&self, path: &str, headers: &str, body: &str) -> Option<u16> {
            let length = body.len();
            let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}");
            self.send(format!("{head}\r\n{headers}\r\n{body}").as_bytes())
        }
    }

    fn status(stream: &mut std::net::TcpStream) -> Option<u16> {
        let mut response = Vec::new();
        // A reset after the response is no matter.
        drop(stream.read_to_end(&mut response));
        let text = String::from_utf8(response).unwrap();
        assert!(text.is_empty() || text.ends_with("\r\n\r\n"), "a hint in the body: {text}");
        text.split(' ').nth(1).map(|status| status.parse().unwrap())
    }

    #[test]
    fn callback_is_stored_once_and_told() {
        let receiving = plain();
        let mut news = receiving.listener.news();
        for _ in 0..3 {
            assert_eq!(receiving.post(&receiving.path, "", FAILED), Some(200));
        }
        assert_eq!(receiving.post(&receiving.path, "", OTHER), Some(200));
        assert_eq!(receiving.memory.rows(), [7]);
        assert_eq!(*news.borrow_and_update(), 1);
        let expected = Counts { new: 1, repeated: 2, contradicting: 1, ..Counts::default() };
        assert_eq!(receiving.listener.counts(), expected);
    }

    #[test]
    fn everything_else_gets_a_404_without_a_hint() {
        let receiving = plain();
        let path = receiving.path.clone();
        let other = Token::random().unwrap();
        for wrong in ["/", "/7", &format!("/{}/7", other.expose()), &path[..path.len() - 2]] {
            assert_eq!(receiving.post(wrong, "", FAILED), Some(404), "{wrong}");
        }
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
            let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(receiving.send(request.as_bytes()), Some(404), "{method}");
        }
        assert_eq!(receiving.post(&path, "", "{}"), Some(404));
        assert!(receiving.memory.rows().is_empty());
        let expected = Counts { elsewhere: 9, malformed: 1, ..Counts::default() };
        assert_eq!(receiving.listener.counts(), expected);
    }

    #[test]
    fn with_a_secret_only_signed_callbacks_are_stored() {
        let receiving = receiving(Some(SECRET), Memory::default(), PATIENCE);
        let now = jiff::Timestamp::now().as_second();
        let signed = |secret: &str, seconds: i64| {
            let key = standardwebhooks::Webhook::from_bytes(secret.into()).unwrap();
            let signature = key.sign("msg_1", seconds, FAILED.as_bytes()).unwrap();
            format!(
                "webhook-id: msg_1\r\nwebhook-timestamp: {seconds}\r\n\
                 webhook-signature: {signature}\r\n"
            )
        };
        let post = |headers: &str, body| receiving.post(&receiving.path, headers, body);
        assert_eq!(post("", FAILED), Some(404));
        assert_eq!(post(&signed("whsec_other", now), FAILED), Some(404));
        assert_eq!(post(&signed(SECRET, now - 3600), FAILED), Some(404));
        assert_eq!(post(&signed(SECRET, now), OTHER), Some(404));
        assert!(receiving.memory.rows().is_empty());
        assert_eq!(post(&signed(SECRET, now), FAILED), Some(200));
        assert_eq!(receiving.memory.rows(), [7]);
        let expected = Counts { new: 1, unsigned: 4, ..Counts::default() };
        assert_eq!(receiving.listener.counts(), expected);
    }

    #[test]
    fn callback_that_cannot_be_stored_comes_again() {
        let memory = Memory { is_broken: true, ..Memory::default() };
        let receiving = receiving(None, memory, PATIENCE);
        assert_eq!(receiving.post(&receiving.path, "", FAILED), Some(503));
        assert_eq!(receiving.listener.failure(), Some("no space left on device"));
        assert_eq!(receiving.listener.counts(), Counts::default());
    }

    #[test]
    fn huge_messages_are_refused_unread() {
        let receiving = plain();
        let path = &receiving.path;
        let length = 1_u64 << 40;
        let declared = format!("POST {path} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n");
        assert_eq!(receiving.send(declared.as_bytes()), Some(404));
        let chunk = format!("100000\r\n{}\r\n", " ".repeat(0x10_0000));
        let chunked = format!("POST {path} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
        let two = format!("{chunked}{chunk}{chunk}");
        assert_eq!(receiving.send(two.as_bytes()), Some(404));
        let headers =
            |count, size: usize| "x: y\r\n".repeat(count) + &format!("z: {}\r\n", "z".repeat(size));
        assert_eq!(receiving.post(path, &headers(100, 1), FAILED), Some(431));
        assert_eq!(receiving.post(path, &headers(1, 1 << 20), FAILED), Some(431));
        let long = format!("/{}{path}", "a".repeat(1 << 20));
        assert_ne!(receiving.post(&long, "", FAILED), Some(200));
        assert!(receiving.memory.rows().is_empty());
        assert_eq!(receiving.listener.counts().malformed, 2);
        assert_eq!(receiving.post(path, "", FAILED), Some(200));
    }

    #[test]
    fn slow_clients_are_dropped() {
        let short = Duration::from_millis(50);
        let patience = Patience { head: short, body: short, connection: PATIENCE.connection };
        let receiving = receiving(None, Memory::default(), patience);
        let path = &receiving.path;
        for (part, expected) in [
            (String::new(), None),
            (format!("POST {path} HTTP/1.1\r\nHost"), None),
            (format!("POST {path} HTTP/1.1\r\nContent-Length: 50\r\n\r\n{{"), Some(404)),
        ] {
            let mut stream = receiving.connect();
            stream.write_all(part.as_bytes()).unwrap();
            // The client keeps its side open.
            let got = status(&mut stream);
            assert!(got == expected || got == Some(408), "{part}: {got:?}");
        }
        assert!(receiving.memory.rows().is_empty());
    }

    #[test]
    fn idle_connections_do_not_keep_callbacks_out() {
        let patience = Patience { head: Duration::from_millis(200), ..PATIENCE };
        let receiving = receiving(None, Memory::default(), patience);
        let idle: Vec<_> = (0..2 * CONNECTIONS_MAX).map(|_| receiving.connect()).collect();
        assert_eq!(receiving.post(&receiving.path, "", FAILED), Some(200));
        drop(idle);
    }

    #[test]
    fn second_request_on_a_connection_is_not_served() {
        let receiving = plain();
        let (path, length) = (&receiving.path, FAILED.len());
        let request =
            format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{FAILED}");
        assert_eq!(receiving.send(request.repeat(2).as_bytes()), Some(200));
        assert_eq!(receiving.listener.counts().repeated, 0);
    }

    #[test]
    fn listener_frees_its_address_when_dropped() {
        let receiving = plain();
        let address = receiving.listener.address();
        drop(receiving.listener);
        std::net::TcpListener::bind(address).unwrap();
    }
}
