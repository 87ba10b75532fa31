//! The account on a socket: a thread a connection, a log of all that arrives, and hooks for whoever
//! wants to kill a client, to lose a request or to let it take effect late.

use std::io::BufReader;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::file::File;
use crate::http::{Answer, Request, basic};
use crate::imagekit::Account;

/// The private keys of the account.
pub(crate) const KEYS: [&str; 2] = ["private_attacked1=", "private_attacked2="];
/// A path of its own, by which a test learns that the server has seen all that came before.
const PING: &str = "/ping";
/// Nothing here takes longer; what does hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// When a hook is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The request has arrived whole; nothing has been done.
    Arrived,
    /// Its work is done; no byte of the answer is out.
    Worked,
}

/// A request at one of its phases.
pub(crate) struct Event<'r> {
    /// Counted from 1, over all clients.
    pub(crate) n: usize,
    pub(crate) phase: Phase,
    pub(crate) request: &'r Request,
}

/// What becomes of a request after a hook has seen it.
#[derive(Debug, Clone)]
pub(crate) enum Then {
    GoOn,
    /// It is not carried out (any more), and its connection is closed without an answer.
    Lose,
    /// It takes effect right after this many later writes to one of its files. Its connection is
    /// closed without an answer.
    Late(usize),
    /// It goes on once the gate is open.
    Wait(Gate),
}

type Hook = Box<dyn FnMut(&Event<'_>) -> Then + Send>;

/// A request that has arrived.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) at: Instant,
    pub(crate) is_write: bool,
    pub(crate) line: String,
}

/// A request that has yet to take effect.
struct Late {
    request: Request,
    writes_before: usize,
}

/// A running server. It ends with the test.
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
    /// How long each request takes, in microseconds.
    latency_us: AtomicU64,
    is_ending: AtomicBool,
}

impl Server {
    /// A server whose account has these files.
    pub(crate) fn start(files: impl IntoIterator<Item = File>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port can be had");
        let address = listener.local_addr().expect("it has an address");
        let shared = Arc::<Shared>::default();
        files.into_iter().for_each(|file| locked(&shared.account).add(file));
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
        locked(&self.shared.account)
    }

    /// Asks this from now on, and nothing that was to be asked before.
    pub(crate) fn hook(&self, hook: impl FnMut(&Event<'_>) -> Then + Send + 'static) {
        *locked(&self.shared.hook) = Some(Box::new(hook));
    }

    pub(crate) fn unhook(&self) {
        *locked(&self.shared.hook) = None;
    }

    pub(crate) fn set_latency(&self, latency: Duration) {
        let latency = u64::try_from(latency.as_micros()).expect("it is short");
        self.shared.latency_us.store(latency, Ordering::SeqCst);
    }

    /// All that has arrived, in its order.
    pub(crate) fn log(&self) -> Vec<Arrival> {
        locked(&self.shared.log).clone()
    }

    /// How many requests for changes have arrived.
    pub(crate) fn writes(&self) -> usize {
        self.log().iter().filter(|arrival| arrival.is_write).count()
    }

    /// Carries out what is late and of that kind, and forgets the rest.
    pub(crate) fn end_late(&self, takes_effect: impl Fn(&Request) -> bool) {
        for late in locked(&self.shared.late).drain(..) {
            if takes_effect(&late.request) {
                self.account().answer(&late.request);
            }
        }
    }

    /// Waits until no client is connected and all that the last ones sent has been dealt with. To be
    /// called when they are dead.
    pub(crate) fn wait_until_idle(&self) {
        // Connections are accepted in their order: where this one is served, all before it are.
        self.ping();
        let count = locked(&self.shared.connections);
        let idle = self.shared.closed.wait_timeout_while(count, PATIENCE, |count| *count > 0);
        let (count, _) = idle.unwrap_or_else(PoisonError::into_inner);
        assert_eq!(*count, 0, "connections of clients that are gone stay open");
    }

    fn ping(&self) {
        use std::io::{Read as _, Write as _};
        let mut stream = TcpStream::connect(self.address).expect("the server accepts");
        let request = format!("GET {PING} HTTP/1.1\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("the server reads");
        stream.read_to_end(&mut Vec::new()).expect("the server answers");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.is_ending.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.is_ending.load(Ordering::SeqCst) {
                return;
            }
            if let Ok(stream) = stream {
                *locked(&self.connections) += 1;
                let shared = Arc::clone(self);
                thread::spawn(move || shared.connection(&stream));
            }
        }
    }

    fn connection(&self, stream: &TcpStream) {
        drop(stream.set_nodelay(true));
        let mut requests = BufReader::new(stream);
        // A client that was killed ends its connection with an error.
        while let Ok(Some(request)) = Request::read(&mut requests) {
            let (n, answer) = self.serve(&request);
            let Some(answer) = answer else { break };
            if answer.write(&mut &*stream, n).is_err() || request.closes {
                break;
            }
        }
        drop(stream.shutdown(std::net::Shutdown::Both));
        *locked(&self.connections) -= 1;
        self.closed.notify_all();
    }

    /// Deals with a request; gives its number, and an answer if it gets one.
    fn serve(&self, request: &Request) -> (usize, Option<Answer>) {
        if request.path == PING {
            return (0, Some(Answer::ok(true.into())));
        }
        let n = self.note(request);
        if !KEYS.iter().any(|key| request.authorization == basic(key)) {
            let answer = Answer::error(401, "Your request does not contain private API key.");
            return (n, Some(answer));
        }
        match self.ask(&Event { n, phase: Phase::Arrived, request }) {
            Then::GoOn => {}
            Then::Wait(gate) => gate.wait(),
            Then::Lose => return (n, None),
            Then::Late(writes_before) => {
                let late = Late { request: request.clone(), writes_before };
                locked(&self.late).push(late);
                return (n, None);
            }
        }
        let latency = self.latency_us.load(Ordering::SeqCst);
        if latency > 0 {
            thread::sleep(Duration::from_micros(latency));
        }
        let answer = self.work(request);
        match self.ask(&Event { n, phase: Phase::Worked, request }) {
            Then::GoOn => {}
            Then::Wait(gate) => gate.wait(),
            Then::Lose | Then::Late(_) => return (n, None),
        }
        (n, Some(answer))
    }

    fn note(&self, request: &Request) -> usize {
        let mut log = locked(&self.log);
        let line = format!("{} {}", request.method, request.path);
        log.push(Arrival { at: Instant::now(), is_write: request.is_write(), line });
        log.len()
    }

    /// While a hook is at work, everybody else who would ask it waits.
    fn ask(&self, event: &Event<'_>) -> Then {
        locked(&self.hook).as_mut().map_or(Then::GoOn, |hook| hook(event))
    }

    /// Carries a request out, and what was to take effect after it.
    fn work(&self, request: &Request) -> Answer {
        let mut late = locked(&self.late);
        let mut account = locked(&self.account);
        let answer = account.answer(request);
        if request.is_write() {
            let files = request.files();
            late.retain_mut(|late| {
                if files.iter().any(|file| late.request.is_about(file)) {
                    late.writes_before -= 1;
                }
                if late.writes_before == 0 {
                    account.answer(&late.request);
                }
                late.writes_before > 0
            });
        }
        answer
    }
}

/// Lets those who wait go on once it is open.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *locked(&self.0.0) = true;
        self.0.1.notify_all();
    }

    /// Waits until it is open, but not for ever.
    pub(crate) fn wait(&self) {
        let is_open = locked(&self.0.0);
        drop(self.0.1.wait_timeout_while(is_open, PATIENCE, |is_open| !*is_open));
    }
}

/// What a mutex guards, also after another thread has panicked: its test fails anyway.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
