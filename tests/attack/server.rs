//! Serves the account over HTTP with one thread per connection. Logs arrivals; a hook can kill the client,
//! drop a request, or delay its effect.

use std::io::BufReader;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::file::File;
use crate::http::{Request, Response, basic};
use crate::imagekit::Account;

/// The account's two private keys.
pub(crate) const KEYS: [&str; 2] = ["private_attacked1=", "private_attacked2="];
/// An internal path that tests request to know that all earlier connections are accepted.
const PING: &str = "/ping";
/// No wait here takes longer unless something hangs.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The point in a request's handling at which the hook is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The request has arrived whole and is not applied.
    Arrived,
    /// The request is applied; no byte of the response has been sent.
    Applied,
}

pub(crate) struct Event<'r> {
    /// Number of the request, counted from 1 over all clients.
    pub(crate) n: usize,
    pub(crate) phase: Phase,
    pub(crate) request: &'r Request,
}

/// What the server does with a request after the hook.
#[derive(Debug, Clone)]
pub(crate) enum HookAction {
    Continue,
    /// Closes the connection without a response; in `Arrived`, the request is not applied.
    Drop,
    /// Closes the connection without a response and applies the request after this many later writes to
    /// one of its files.
    Late(usize),
    /// Continues once the gate is open.
    Wait(Gate),
}

type Hook = Box<dyn FnMut(&Event<'_>) -> HookAction + Send>;

/// Log entry of a received request.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) at: Instant,
    pub(crate) is_write: bool,
    pub(crate) line: String,
}

/// A request with a delayed effect.
struct Late {
    request: Request,
    writes_before: usize,
}

/// A running server; stops when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    account: Mutex<Account>,
    hook: Mutex<Option<Hook>>,
    log: Mutex<Vec<Arrival>>,
    late: Mutex<Vec<Late>>,
    connections: Mutex<usize>,
    closed: Condvar,
    /// Delay of every request in microseconds.
    latency_us: AtomicU64,
    is_stopping: AtomicBool,
}

impl Server {
    /// Starts a server on a free port with these files.
    pub(crate) fn start(files: impl IntoIterator<Item = File>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port should be free");
        let address = listener.local_addr().expect("the listener should have an address");
        let shared = Arc::<Shared>::default();
        files.into_iter().for_each(|file| lock_mutex(&shared.account).add(file));
        let serving = Arc::clone(&shared);
        thread::spawn(move || serving.accept(&listener));
        Self { address, shared }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn account(&self) -> MutexGuard<'_, Account> {
        lock_mutex(&self.shared.account)
    }

    /// Replaces the hook.
    pub(crate) fn hook(&self, hook: impl FnMut(&Event<'_>) -> HookAction + Send + 'static) {
        *lock_mutex(&self.shared.hook) = Some(Box::new(hook));
    }

    pub(crate) fn unhook(&self) {
        *lock_mutex(&self.shared.hook) = None;
    }

    pub(crate) fn set_latency(&self, latency: Duration) {
        let latency = u64::try_from(latency.as_micros()).expect("the latency should be short");
        self.shared.latency_us.store(latency, Ordering::SeqCst);
    }

    /// All received requests, in order of arrival.
    pub(crate) fn log(&self) -> Vec<Arrival> {
        lock_mutex(&self.shared.log).clone()
    }

    /// Number of received write requests.
    pub(crate) fn writes(&self) -> usize {
        self.log().iter().filter(|arrival| arrival.is_write).count()
    }

    /// Applies the delayed requests that match, and discards the others.
    pub(crate) fn apply_late(&self, should_apply: impl Fn(&Request) -> bool) {
        for late in lock_mutex(&self.shared.late).drain(..) {
            if should_apply(&late.request) {
                self.account().handle(&late.request);
            }
        }
    }

    /// Waits until all connections are closed and their requests are handled. Call after the clients have
    /// exited.
    pub(crate) fn wait_until_idle(&self) {
        // Connections are accepted in order: once this one is served, all earlier ones are accepted.
        self.ping();
        let count = lock_mutex(&self.shared.connections);
        let idle = self.shared.closed.wait_timeout_while(count, TIMEOUT, |count| *count > 0);
        let (count, _) = idle.unwrap_or_else(PoisonError::into_inner);
        assert_eq!(*count, 0, "connections of exited clients stay open");
    }

    fn ping(&self) {
        use std::io::{Read as _, Write as _};
        let mut stream = TcpStream::connect(self.address).expect("the server should accept");
        let request = format!("GET {PING} HTTP/1.1\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("the server should read");
        stream.read_to_end(&mut Vec::new()).expect("the server should respond");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.is_stopping.load(Ordering::SeqCst) {
                return;
            }
            if let Ok(stream) = stream {
                *lock_mutex(&self.connections) += 1;
                let shared = Arc::clone(self);
                thread::spawn(move || shared.connection(&stream));
            }
        }
    }

    fn connection(&self, stream: &TcpStream) {
        drop(stream.set_nodelay(true));
        let mut requests = BufReader::new(stream);
        // A killed client ends its connection with an error.
        while let Ok(Some(request)) = Request::read(&mut requests) {
            let (n, response) = self.serve(&request);
            let Some(response) = response else { break };
            if response.write(&mut &*stream, n).is_err() || request.closes {
                break;
            }
        }
        drop(stream.shutdown(std::net::Shutdown::Both));
        *lock_mutex(&self.connections) -= 1;
        self.closed.notify_all();
    }

    /// Handles a request; returns its number and the response, if it gets one.
    fn serve(&self, request: &Request) -> (usize, Option<Response>) {
        if request.path == PING {
            return (0, Some(Response::ok(true.into())));
        }
        let n = self.log_arrival(request);
        if !KEYS.iter().any(|key| request.authorization == basic(key)) {
            let response = Response::error(401, "Your request does not contain private API key.");
            return (n, Some(response));
        }
        match self.call_hook(&Event { n, phase: Phase::Arrived, request }) {
            HookAction::Continue => {}
            HookAction::Wait(gate) => gate.wait(),
            HookAction::Drop => return (n, None),
            HookAction::Late(writes_before) => {
                let late = Late { request: request.clone(), writes_before };
                lock_mutex(&self.late).push(late);
                return (n, None);
            }
        }
        let latency = self.latency_us.load(Ordering::SeqCst);
        if latency > 0 {
            thread::sleep(Duration::from_micros(latency));
        }
        let response = self.handle(request);
        match self.call_hook(&Event { n, phase: Phase::Applied, request }) {
            HookAction::Continue => {}
            HookAction::Wait(gate) => gate.wait(),
            HookAction::Drop | HookAction::Late(_) => return (n, None),
        }
        (n, Some(response))
    }

    fn log_arrival(&self, request: &Request) -> usize {
        let mut log = lock_mutex(&self.log);
        let line = format!("{} {}", request.method, request.path);
        log.push(Arrival { at: Instant::now(), is_write: request.is_write(), line });
        log.len()
    }

    /// Calls the hook. Other requests wait while the hook runs.
    fn call_hook(&self, event: &Event<'_>) -> HookAction {
        lock_mutex(&self.hook).as_mut().map_or(HookAction::Continue, |hook| hook(event))
    }

    /// Applies a request, then the delayed requests that are due.
    fn handle(&self, request: &Request) -> Response {
        let mut late = lock_mutex(&self.late);
        let mut account = lock_mutex(&self.account);
        let response = account.handle(request);
        if request.is_write() {
            let files = request.files();
            late.retain_mut(|late| {
                if files.iter().any(|file| late.request.concerns(file)) {
                    late.writes_before -= 1;
                }
                if late.writes_before == 0 {
                    account.handle(&late.request);
                }
                late.writes_before > 0
            });
        }
        response
    }
}

/// Blocks waiting threads until it is open.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *lock_mutex(&self.0.0) = true;
        self.0.1.notify_all();
    }

    /// Waits until the gate is open, up to the timeout.
    pub(crate) fn wait(&self) {
        let is_open = lock_mutex(&self.0.0);
        drop(self.0.1.wait_timeout_while(is_open, TIMEOUT, |is_open| !*is_open));
    }
}

/// Locks a mutex even if it is poisoned: the thread that panicked has failed its test.
pub(crate) fn lock_mutex<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
