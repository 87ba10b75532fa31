//! Attacks that were thought out, one a test: two programs at once, other people's files, clocks and
//! lists that are wrong, and many restarts.

mod charges;
mod late;
mod order;
mod rate;
mod reports;
mod resume;
mod stale;
mod trust;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::file::File;
use crate::http::Request;
use crate::program::{Desk, FAST, Victim, wait_until};
use crate::run::Run;
use crate::server::{Gate, Phase, Server, Then};

const TAGGING: &str = r#"[{"name":"google-auto-tagging","minConfidence":80,"maxTags":10}]"#;

/// Ids of files.
fn ids(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("file{n:03}")).collect()
}

/// A server with files of these ids, and a desk.
fn scene(ids: &[String]) -> (Server, Desk) {
    let server = Server::start(ids.iter().map(|id| File::new(id)));
    let desk = Desk::new(server.endpoint());
    (server, desk)
}

/// A sheet that runs an extension on each of these files.
fn charging(ids: &[String]) -> String {
    let rows = ids.iter().map(|id| format!("{id},\"{}\"\n", TAGGING.replace('"', "\"\"")));
    "fileId,extensions\n".to_owned() + &rows.collect::<String>()
}

/// A sheet that describes each of these files with the same text.
fn describing(ids: &[String], text: &str) -> String {
    let rows = ids.iter().map(|id| format!("{id},{text}\n"));
    "fileId,description\n".to_owned() + &rows.collect::<String>()
}

/// The descriptions of these files.
fn descriptions(server: &Server, ids: &[String]) -> Vec<String> {
    let account = server.account();
    ids.iter().map(|id| account.file(id).expect("it is there").description.clone()).collect()
}

/// Runs a command that is killed when its n-th write arrives, which is lost.
fn killed_at_write(server: &Server, desk: &Desk, n: usize, line: &str) -> Run {
    let victim = Victim::default();
    let hand = victim.clone();
    let mut writes = 0;
    server.hook(move |event| {
        if event.phase == Phase::Arrived && event.request.is_write() {
            writes += 1;
        }
        if writes < n {
            return Then::GoOn;
        }
        hand.kill();
        Then::Lose
    });
    desk.call(&format!("{line} {FAST}")).start_as(&victim).wait().died();
    server.unhook();
    server.wait_until_idle();
    desk.last_run("sheet")
}

/// Requests that are held where they arrive.
struct Held {
    gate: Gate,
    has_come: Arc<AtomicBool>,
    still_holds: Arc<AtomicBool>,
}

impl Held {
    /// Holds all requests of a kind from now on.
    fn at(server: &Server, is_it: impl Fn(&Request) -> bool + Send + 'static) -> Self {
        let gate = Gate::default();
        let has_come = Arc::new(AtomicBool::new(false));
        let still_holds = Arc::new(AtomicBool::new(true));
        let (closed, come, active) =
            (gate.clone(), Arc::clone(&has_come), Arc::clone(&still_holds));
        server.hook(move |event| {
            let holds = active.load(Ordering::SeqCst) && is_it(event.request);
            if event.phase != Phase::Arrived || !holds {
                return Then::GoOn;
            }
            come.store(true, Ordering::SeqCst);
            Then::Wait(closed.clone())
        });
        Self { gate, has_come, still_holds }
    }

    /// Waits until one is held; those that come later are not.
    #[track_caller]
    fn wait_for_one(&self) {
        wait_until("a request is held", || self.has_come.load(Ordering::SeqCst));
        self.still_holds.store(false, Ordering::SeqCst);
    }

    /// Lets all go on.
    fn let_go(&self) {
        self.still_holds.store(false, Ordering::SeqCst);
        self.gate.open();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.let_go();
    }
}
