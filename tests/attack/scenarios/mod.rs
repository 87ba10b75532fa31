//! Hand-written attacks: concurrent runs, foreign files, wrong clocks, stale lists and many restarts.

mod concurrent_reports;
mod double_charges;
mod key_leaks;
mod late_requests;
mod older_runs;
mod rate_limit;
mod resume_confirmation;
mod stale_lists;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::file::File;
use crate::http::Request;
use crate::program::{ChildHandle, NO_LIMITS, Workspace, wait_until};
use crate::run_directory::RunDirectory;
use crate::server::{Gate, HookAction, Phase, Server};

const TAGGING: &str = r#"[{"name":"google-auto-tagging","minConfidence":80,"maxTags":10}]"#;

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("file{n:03}")).collect()
}

/// A server with these files, and a workspace.
fn set_up(ids: &[String]) -> (Server, Workspace) {
    let server = Server::start(ids.iter().map(|id| File::new(id)));
    let workspace = Workspace::new(server.endpoint());
    (server, workspace)
}

/// A sheet that runs an extension on each file.
fn extension_sheet(ids: &[String]) -> String {
    let rows = ids.iter().map(|id| format!("{id},\"{}\"\n", TAGGING.replace('"', "\"\"")));
    "fileId,extensions\n".to_owned() + &rows.collect::<String>()
}

/// A sheet that sets the same description for each file.
fn description_sheet(ids: &[String], text: &str) -> String {
    let rows = ids.iter().map(|id| format!("{id},{text}\n"));
    "fileId,description\n".to_owned() + &rows.collect::<String>()
}

/// The current descriptions of the files.
fn descriptions(server: &Server, ids: &[String]) -> Vec<String> {
    let account = server.account();
    ids.iter()
        .map(|id| account.file(id).expect("the file should exist").description.clone())
        .collect()
}

/// Kills the command when its n-th write arrives; that write is lost. Returns the run.
fn kill_at_write(server: &Server, workspace: &Workspace, n: usize, line: &str) -> RunDirectory {
    let child_handle = ChildHandle::default();
    let child = child_handle.clone();
    let mut writes = 0;
    server.hook(move |event| {
        if event.phase == Phase::Arrived && event.request.is_write() {
            writes += 1;
        }
        if writes < n {
            return HookAction::Continue;
        }
        child.kill();
        HookAction::Drop
    });
    workspace.command(&format!("{line} {NO_LIMITS}")).start_as(&child_handle).wait().was_killed();
    server.unhook();
    server.wait_until_idle();
    workspace.last_run("sheet")
}

/// Blocks requests on arrival.
struct RequestHold {
    gate: Gate,
    has_arrived: Arc<AtomicBool>,
    is_active: Arc<AtomicBool>,
}

impl RequestHold {
    /// Blocks all requests that match from now on.
    fn at(server: &Server, matches: impl Fn(&Request) -> bool + Send + 'static) -> Self {
        let gate = Gate::default();
        let has_arrived = Arc::new(AtomicBool::new(false));
        let is_active = Arc::new(AtomicBool::new(true));
        let (hook_gate, arrived, active) =
            (gate.clone(), Arc::clone(&has_arrived), Arc::clone(&is_active));
        server.hook(move |event| {
            let blocks = active.load(Ordering::SeqCst) && matches(event.request);
            if event.phase != Phase::Arrived || !blocks {
                return HookAction::Continue;
            }
            arrived.store(true, Ordering::SeqCst);
            HookAction::Wait(hook_gate.clone())
        });
        Self { gate, has_arrived, is_active }
    }

    /// Waits until one request is blocked; later ones pass.
    #[track_caller]
    fn wait_for_one(&self) {
        wait_until("a blocked request", || self.has_arrived.load(Ordering::SeqCst));
        self.is_active.store(false, Ordering::SeqCst);
    }

    /// Releases all blocked requests.
    fn release(&self) {
        self.is_active.store(false, Ordering::SeqCst);
        self.gate.open();
    }
}

impl Drop for RequestHold {
    fn drop(&mut self) {
        self.release();
    }
}
