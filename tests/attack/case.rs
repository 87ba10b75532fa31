//! One attack: a mode of the program, killed and driven to its end.

use std::thread;
use std::time::Duration;

use fastrand::Rng;

use crate::invariants;
use crate::kill::{Kill, is_at_most_once};
use crate::program::{Desk, Done, FAST, RESUME, Victim};
use crate::run::Run;
use crate::server::Server;
use crate::sheet::{LOCKED, Sheet};

/// Sessions of one command, the killed ones included; more would never end.
const SESSIONS_MAX: usize = 12;
/// Requests in flight at once; [`FAST`] says so.
const CONCURRENCY: usize = 3;

/// What is attacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    Live,
    Direct,
    ContinueLive,
    ContinueDirect,
    /// `plan`, and `apply --plan`.
    Plan,
    /// `apply --plan` alone.
    SavedPlan,
    /// `undo` of a run that came to its end.
    Undo,
    /// `undo` of a run that was killed.
    UndoKilled,
    /// `report` of a run that was killed and is resumed then.
    Report,
}

const MODES: [Mode; 9] = [
    Mode::Live,
    Mode::Direct,
    Mode::ContinueLive,
    Mode::ContinueDirect,
    Mode::Plan,
    Mode::SavedPlan,
    Mode::Undo,
    Mode::UndoKilled,
    Mode::Report,
];

/// What an attack came to.
#[derive(Debug)]
pub(crate) struct Damage {
    pub(crate) kills: usize,
    /// Status and code of every row in the end.
    pub(crate) outcomes: Vec<String>,
}

/// An attack.
pub(crate) struct Case {
    mode: Mode,
    sheet: Sheet,
    desk: Desk,
    server: Server,
    /// The kills to come, the last one first.
    to_come: Vec<Kill>,
    kills: usize,
    /// What was done and what came of it, for whoever looks into a failure.
    story: String,
}

impl Drop for Case {
    #[expect(clippy::print_stderr, reason = "it is for whoever looks into a failure")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{:?}\n{}", self.mode, self.story);
        }
    }
}

impl Case {
    /// The attack of that number.
    pub(crate) fn random(seed: u64, index: u64) -> Self {
        let mut rng = Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(index));
        let mode = MODES[rng.usize(0..MODES.len())];
        let sheet = Sheet::random(&mut rng, mode.plans_charges());
        let requests = sheet.rows.len() + sheet.files().len();
        let mut to_come: Vec<Kill> =
            (0..rng.usize(1..=3)).map(|_| Kill::random(&mut rng, requests)).collect();
        if mode.is_undo() {
            // What takes effect after a file was read cannot be undone.
            to_come = to_come.into_iter().map(Kill::in_time).collect();
        }
        if mode == Mode::Report {
            to_come = vec![Kill::calls(&mut rng), Kill::random(&mut rng, requests)];
        }
        let server = Server::start(sheet.files());
        server.account().lock(LOCKED);
        if rng.u8(0..4) == 0 {
            server.set_latency(Duration::from_millis(2));
        }
        let desk = Desk::new(server.endpoint());
        desk.write("sheet.csv", sheet.csv());
        Self { mode, sheet, desk, server, to_come, kills: 0, story: String::new() }
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// Drives it to its end.
    pub(crate) fn drive(mut self) -> Damage {
        match self.mode {
            Mode::Live => self.apply("apply sheet.csv --yes"),
            Mode::Direct => self.apply("apply sheet.csv --yes --direct"),
            Mode::ContinueLive => self.apply_again("apply sheet.csv --yes --continue"),
            Mode::ContinueDirect => {
                self.apply_again("apply sheet.csv --yes --continue --direct");
            }
            Mode::Plan => {
                self.plan();
                self.apply_plan();
            }
            Mode::SavedPlan => {
                self.in_peace(Self::plan);
                self.apply_plan();
            }
            Mode::Undo => {
                self.in_peace(|case| case.apply("apply sheet.csv --yes"));
                self.undo();
            }
            Mode::UndoKilled => {
                self.session(&format!("apply sheet.csv --yes {FAST}"));
                self.undo();
            }
            Mode::Report => self.report(),
        }
        let run = self.ended_run();
        let outcomes = run.ended_at().map(|_| run.outcomes()).unwrap_or_default();
        Damage { kills: self.kills, outcomes }
    }

    fn apply(&mut self, line: &str) {
        let done = self.resume_until_it_ends(line);
        self.holds(&done);
    }

    /// For who does the same again, such as cron.
    fn apply_again(&mut self, line: &str) {
        let done = self.repeat_until_it_ends(line);
        self.holds(&done);
    }

    fn plan(&mut self) {
        let done = self.repeat_until_it_ends("plan sheet.csv");
        assert!(matches!(done.code, Some(0 | 1)), "{}", done.err);
    }

    fn apply_plan(&mut self) {
        let run = self.desk.last_run("sheet");
        let line = format!("apply --plan {} --yes", run.name());
        let done = self.resume_until_it_ends(&line);
        self.holds(&done);
    }

    fn undo(&mut self) {
        let undone = self.desk.last_run("sheet");
        let done = self.resume_until_it_ends(&format!("undo {} --yes", undone.name()));
        invariants::nothing_twice(&self.server);
        if done.has_nothing_to_go_on_with() {
            // It was killed before it changed anything.
            assert!(self.kills > 0 && self.server.writes() == 0, "{}", done.err);
            return;
        }
        let undo = self.ended_run();
        let rows = undo.text("input.jsonl").lines().count();
        invariants::report_is_whole(&undo, 1..=rows, &done);
        invariants::values_are_restored(&self.sheet, &undo, &self.server);
    }

    fn report(&mut self) {
        self.session(&format!("apply sheet.csv --yes {FAST}"));
        let run = self.desk.last_run("sheet");
        let line = format!("report {}", run.name());
        self.session(&line);
        let done = self.in_peace(|case| case.session(&line));
        if self.server.writes() > 0 {
            invariants::report_is_whole(&run, self.numbers(), &done);
            invariants::values_are_there(&self.sheet, &run, &self.server);
        }
        let resumed = self.session(&resuming(&run));
        if resumed.has_nothing_to_go_on_with() {
            return self.apply("apply sheet.csv --yes");
        }
        self.holds(&resumed);
    }

    /// Does the same again until it is not killed.
    fn repeat_until_it_ends(&mut self, line: &str) -> Done {
        let line = format!("{line} {FAST}");
        self.until_it_ends(&line, |_| line.clone())
    }

    /// Resumes after a kill; where nothing was sent before it, does the same again.
    fn resume_until_it_ends(&mut self, line: &str) -> Done {
        let line = format!("{line} {FAST}");
        let before = self.desk.runs("sheet");
        let is_plan = self.mode.saves_plan();
        self.until_it_ends(&line, |case| {
            let run = case.desk.runs("sheet").pop();
            let run = run.filter(|run| is_plan || !before.contains(run));
            let run = run.filter(|run| run.path().join("ledger.db").exists());
            run.map_or(line.clone(), |run| resuming(&run))
        })
    }

    /// Does what is said first, and after a kill what `next` says. Where a `resume` has nothing to go
    /// on with, begins again.
    fn until_it_ends(&mut self, first: &str, next: impl Fn(&Self) -> String) -> Done {
        let mut line = first.to_owned();
        for _ in 0..SESSIONS_MAX {
            let done = self.session(&line);
            line = if done.code.is_none() {
                next(self)
            } else if line != first && done.has_nothing_to_go_on_with() {
                first.to_owned()
            } else {
                return done;
            };
        }
        panic!("{first} does not come to an end");
    }

    fn in_peace<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> T {
        let to_come = std::mem::take(&mut self.to_come);
        let result = act(self);
        self.to_come = to_come;
        result
    }

    /// One session, which is killed if a kill is to come.
    fn session(&mut self, line: &str) -> Done {
        let victim = Victim::default();
        let kill = self.to_come.pop();
        self.server.unhook();
        if let Some(kill) = kill {
            kill.arm(&self.server, &victim);
        }
        let started = self.desk.call(line).start_as(&victim);
        let done = thread::scope(|scope| {
            scope.spawn(|| kill.inspect(|kill| kill.watch(&self.desk, &victim)));
            started.wait()
        });
        self.kills += usize::from(done.code.is_none());
        let Done { code, err, .. } = &done;
        self.story += &format!("{line}\n  to be killed at {kill:?}: exit code {code:?}\n{err}");
        self.server.unhook();
        self.server.wait_until_idle();
        done
    }

    /// The run that came to its end last.
    fn ended_run(&self) -> Run {
        let runs = self.desk.runs("sheet").into_iter();
        let ended = runs.filter(|run| run.ended_at().is_some());
        ended.max_by_key(Run::ended_at).unwrap_or_else(|| self.desk.last_run("sheet"))
    }

    /// The numbers of the sheet's rows.
    fn numbers(&self) -> impl Iterator<Item = usize> + use<> {
        2..2 + self.sheet.rows.len()
    }

    #[track_caller]
    fn holds(&self, done: &Done) {
        self.server.end_late(is_at_most_once);
        invariants::nothing_twice(&self.server);
        assert_ne!(done.code, Some(2), "{}", done.err);
        let run = self.ended_run();
        invariants::report_is_whole(&run, self.numbers(), done);
        invariants::nothing_left(&self.sheet, &run, self.kills * CONCURRENCY);
        invariants::values_are_there(&self.sheet, &run, &self.server);
    }
}

fn resuming(run: &Run) -> String {
    format!("resume {} {RESUME} {FAST}", run.name())
}

impl Mode {
    /// Whether what several rows ask for on one file is charged once.
    fn plans_charges(self) -> bool {
        !matches!(self, Self::Direct | Self::ContinueDirect)
    }

    fn is_undo(self) -> bool {
        matches!(self, Self::Undo | Self::UndoKilled)
    }

    fn saves_plan(self) -> bool {
        matches!(self, Self::Plan | Self::SavedPlan)
    }
}
