//! One run is executed by one process at a time, whatever state directory or key each has.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ikbulk::sandbox::{Config, ExtensionPlay, Phase, Status, Tap};

use crate::harness::{Call, Done, World, files};

/// How long a command that ought to be refused at once is waited for while the sandbox stands still.
const REFUSED_WITHIN: Duration = Duration::from_secs(20);

fn rows() -> String {
    let row = |id| format!("{{\"fileId\":\"{id}\",\"extensions\":[{{\"name\":\"remove-bg\"}}]}}\n");
    ["a", "b", "c"].map(row).concat()
}

/// Runs a second command while one request, and with it the whole sandbox, is held.
#[derive(Clone, Default)]
struct Held {
    second: Arc<Mutex<Option<Call>>>,
    running: Arc<Mutex<Option<JoinHandle<Done>>>>,
}

impl Held {
    /// The tap that holds the first request about that file.
    fn tap(&self, id: &'static str) -> Tap {
        let held = self.clone();
        Tap::new(move |event| {
            if event.path.contains(&format!("/{id}/")) && event.phase == Phase::Arrived {
                held.run_second();
            }
        })
    }

    fn run_second(&self) {
        let Some(call) = unpoisoned(&self.second).take() else { return };
        let (ended, end) = sync_channel(1);
        let running = std::thread::spawn(move || {
            let done = call.run();
            ended.send(()).ok();
            done
        });
        // One that is not refused goes on when the sandbox does.
        end.recv_timeout(REFUSED_WITHIN).ok();
        *unpoisoned(&self.running) = Some(running);
    }

    fn done(&self) -> Done {
        let running = unpoisoned(&self.running).take().expect("the request was held");
        running.join().expect("the second command ends")
    }
}

fn unpoisoned<T>(place: &Mutex<T>) -> MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn two_resumes_at_once_run_no_extension_twice() {
    let held = Held::default();
    let config = files(["a", "b", "c"]);
    let extensions = ExtensionPlay::Always(Status::Success);
    let world = World::new(Config { tap: Some(held.tap("b")), extensions, ..config });
    world.write("sheet.jsonl", rows());
    world.apply("sheet.jsonl --limit 1").exits(5);
    let run = world.only_run("sheet");
    let resume = ["resume", "--yes", &run.name(), "--rate", "unlimited"];
    let second = world.command(&resume).env("XDG_STATE_HOME", world.path("other-state"));
    *unpoisoned(&held.second) = Some(second);
    world.command(&resume).run().exits(0);
    let second = held.done().exits(75);
    second
        .says("this run is being executed by process")
        .says(&format!("ikbulk resume --yes {}", run.name()));
    for id in ["a", "b", "c"] {
        assert_eq!(world.sandbox.stats().paid_runs_of(id, "remove-bg"), 1, "{id}");
    }
    assert_eq!(run.statuses(), ["updated"; 3]);
}
