//! One attack: a command that is killed and resumed until it ends.

use std::thread;
use std::time::Duration;

use fastrand::Rng;

use crate::invariants;
use crate::kill_point::{KillPoint, is_at_most_once};
use crate::program::{ChildHandle, CmdResult, NO_LIMITS, RESUME, Workspace};
use crate::run_directory::RunDirectory;
use crate::server::Server;
use crate::sheet::{LOCKED_FILE, Sheet};

/// Maximum number of sessions of one command, including killed ones.
const MAX_SESSIONS: usize = 12;
/// Maximum number of requests in flight, as in [`NO_LIMITS`].
const CONCURRENCY: usize = 3;

/// The command under attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    Apply,
    ApplyDirect,
    ContinueApply,
    ContinueDirect,
    /// `plan`, then `apply --plan`.
    PlanAndApply,
    /// `apply --plan`; the `plan` before is not killed.
    ApplyPlan,
    /// `undo` of a finished run.
    Undo,
    /// `undo` of a run that was killed.
    UndoKilled,
    /// `report` of a killed run, which is then resumed.
    Report,
}

const MODES: [Mode; 9] = [
    Mode::Apply,
    Mode::ApplyDirect,
    Mode::ContinueApply,
    Mode::ContinueDirect,
    Mode::PlanAndApply,
    Mode::ApplyPlan,
    Mode::Undo,
    Mode::UndoKilled,
    Mode::Report,
];

/// The result of an attack.
#[derive(Debug)]
pub(crate) struct AttackResult {
    pub(crate) kills: usize,
    /// Final status and code of every row.
    pub(crate) outcomes: Vec<String>,
}

pub(crate) struct Case {
    mode: Mode,
    sheet: Sheet,
    workspace: Workspace,
    server: Server,
    /// The remaining kills; the last element is next.
    pending_kills: Vec<KillPoint>,
    kills: usize,
    /// Commands, exit codes and standard error, printed on failure.
    transcript: String,
}

impl Drop for Case {
    #[expect(clippy::print_stderr, reason = "shows the failed attack")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{:?}\n{}", self.mode, self.transcript);
        }
    }
}

impl Case {
    /// The attack number `index` of this seed.
    pub(crate) fn random(seed: u64, index: u64) -> Self {
        let mut rng = Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(index));
        let mode = MODES[rng.usize(0..MODES.len())];
        let sheet = Sheet::random(&mut rng, mode.deduplicates_extensions());
        let requests = sheet.rows.len() + sheet.files().len();
        let mut pending_kills: Vec<KillPoint> =
            (0..rng.usize(1..=3)).map(|_| KillPoint::random(&mut rng, requests)).collect();
        if mode.is_undo() {
            // A request that takes effect after `undo` has read the file cannot be undone.
            pending_kills = pending_kills.into_iter().map(KillPoint::without_late_effect).collect();
        }
        if mode == Mode::Report {
            pending_kills =
                vec![KillPoint::at_write_calls(&mut rng), KillPoint::random(&mut rng, requests)];
        }
        let server = Server::start(sheet.files());
        server.account().lock_file(LOCKED_FILE);
        if rng.u8(0..4) == 0 {
            server.set_latency(Duration::from_millis(2));
        }
        let workspace = Workspace::new(server.endpoint());
        workspace.write("sheet.csv", sheet.csv());
        Self { mode, sheet, workspace, server, pending_kills, kills: 0, transcript: String::new() }
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// Runs the attack to its end and checks the invariants.
    pub(crate) fn run(mut self) -> AttackResult {
        match self.mode {
            Mode::Apply => self.apply("apply sheet.csv --yes"),
            Mode::ApplyDirect => self.apply("apply sheet.csv --yes --direct"),
            Mode::ContinueApply => self.apply_repeatedly("apply sheet.csv --yes --continue"),
            Mode::ContinueDirect => {
                self.apply_repeatedly("apply sheet.csv --yes --continue --direct");
            }
            Mode::PlanAndApply => {
                self.plan();
                self.apply_plan();
            }
            Mode::ApplyPlan => {
                self.without_kills(Self::plan);
                self.apply_plan();
            }
            Mode::Undo => {
                self.without_kills(|case| case.apply("apply sheet.csv --yes"));
                self.undo();
            }
            Mode::UndoKilled => {
                self.session(&format!("apply sheet.csv --yes {NO_LIMITS}"));
                self.undo();
            }
            Mode::Report => self.report(),
        }
        let run = self.last_finished_run();
        let outcomes = run.finished_at().map(|_| run.outcomes()).unwrap_or_default();
        AttackResult { kills: self.kills, outcomes }
    }

    fn apply(&mut self, line: &str) {
        let result = self.resume_until_end(line);
        self.check(&result);
    }

    /// Repeats the same command after a kill, as cron does.
    fn apply_repeatedly(&mut self, line: &str) {
        let result = self.repeat_until_end(line);
        self.check(&result);
    }

    fn plan(&mut self) {
        let result = self.repeat_until_end("plan sheet.csv");
        assert!(matches!(result.code, Some(0 | 1)), "{}", result.err);
    }

    fn apply_plan(&mut self) {
        let run = self.workspace.last_run("sheet");
        let line = format!("apply --plan {} --yes", run.name());
        let result = self.resume_until_end(&line);
        self.check(&result);
    }

    fn undo(&mut self) {
        let run_to_undo = self.workspace.last_run("sheet");
        let result = self.resume_until_end(&format!("undo {} --yes", run_to_undo.name()));
        invariants::nothing_billed_or_published_twice(&self.server);
        if result.has_nothing_to_resume() {
            // The run was killed before it changed anything.
            assert!(self.kills > 0 && self.server.writes() == 0, "{}", result.err);
            return;
        }
        let undo = self.last_finished_run();
        let rows = undo.text("input.jsonl").lines().count();
        invariants::report_is_complete(&undo, 1..=rows, &result);
        invariants::values_are_restored(&self.sheet, &undo, &self.server);
    }

    fn report(&mut self) {
        self.session(&format!("apply sheet.csv --yes {NO_LIMITS}"));
        let run = self.workspace.last_run("sheet");
        let line = format!("report {}", run.name());
        self.session(&line);
        let result = self.without_kills(|case| case.session(&line));
        if self.server.writes() > 0 {
            invariants::report_is_complete(&run, self.row_numbers(), &result);
            invariants::reported_values_are_in_library(&self.sheet, &run, &self.server);
        }
        let resumed = self.session(&resume_line(&run));
        if resumed.has_nothing_to_resume() {
            return self.apply("apply sheet.csv --yes");
        }
        self.check(&resumed);
    }

    /// Repeats the command until it is not killed.
    fn repeat_until_end(&mut self, line: &str) -> CmdResult {
        let line = format!("{line} {NO_LIMITS}");
        self.run_until_end(&line, |_| line.clone())
    }

    /// Resumes after a kill; if nothing was sent, repeats the command.
    fn resume_until_end(&mut self, line: &str) -> CmdResult {
        let line = format!("{line} {NO_LIMITS}");
        let before = self.workspace.runs("sheet");
        let is_plan = self.mode.saves_plan();
        self.run_until_end(&line, |case| {
            let run = case.workspace.runs("sheet").pop();
            let run = run.filter(|run| is_plan || !before.contains(run));
            let run = run.filter(|run| run.path().join("ledger.db").exists());
            run.map_or(line.clone(), |run| resume_line(&run))
        })
    }

    /// Runs `first`, and after a kill the command line that `next` returns. If a `resume` has nothing to
    /// resume, runs `first` again.
    fn run_until_end(&mut self, first: &str, next: impl Fn(&Self) -> String) -> CmdResult {
        let mut line = first.to_owned();
        for _ in 0..MAX_SESSIONS {
            let result = self.session(&line);
            line = if result.code.is_none() {
                next(self)
            } else if line != first && result.has_nothing_to_resume() {
                first.to_owned()
            } else {
                return result;
            };
        }
        panic!("{first} does not end");
    }

    fn without_kills<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> T {
        let pending_kills = std::mem::take(&mut self.pending_kills);
        let result = act(self);
        self.pending_kills = pending_kills;
        result
    }

    /// Runs one session and kills it if a kill remains.
    fn session(&mut self, line: &str) -> CmdResult {
        let child_handle = ChildHandle::default();
        let kill = self.pending_kills.pop();
        self.server.unhook();
        if let Some(kill) = kill {
            kill.arm(&self.server, &child_handle);
        }
        let started = self.workspace.command(line).start_as(&child_handle);
        let result = thread::scope(|scope| {
            scope.spawn(|| kill.inspect(|kill| kill.watch(&self.workspace, &child_handle)));
            started.wait()
        });
        self.kills += usize::from(result.code.is_none());
        let CmdResult { code, err, .. } = &result;
        self.transcript += &format!("{line}\n  kill point {kill:?}: exit code {code:?}\n{err}");
        self.server.unhook();
        self.server.wait_until_idle();
        result
    }

    /// The run that finished last, or the newest run if none has finished.
    fn last_finished_run(&self) -> RunDirectory {
        let runs = self.workspace.runs("sheet").into_iter();
        let ended = runs.filter(|run| run.finished_at().is_some());
        ended
            .max_by_key(RunDirectory::finished_at)
            .unwrap_or_else(|| self.workspace.last_run("sheet"))
    }

    fn row_numbers(&self) -> impl Iterator<Item = usize> + use<> {
        2..2 + self.sheet.rows.len()
    }

    #[track_caller]
    fn check(&self, result: &CmdResult) {
        self.server.apply_late(is_at_most_once);
        invariants::nothing_billed_or_published_twice(&self.server);
        assert_ne!(result.code, Some(2), "{}", result.err);
        let run = self.last_finished_run();
        invariants::report_is_complete(&run, self.row_numbers(), result);
        invariants::all_rows_settled(&self.sheet, &run, self.kills * CONCURRENCY);
        invariants::reported_values_are_in_library(&self.sheet, &run, &self.server);
    }
}

fn resume_line(run: &RunDirectory) -> String {
    format!("resume {} {RESUME} {NO_LIMITS}", run.name())
}

impl Mode {
    /// Whether the planner runs an extension once if several rows request it for one file.
    fn deduplicates_extensions(self) -> bool {
        !matches!(self, Self::ApplyDirect | Self::ContinueDirect)
    }

    fn is_undo(self) -> bool {
        matches!(self, Self::Undo | Self::UndoKilled)
    }

    fn saves_plan(self) -> bool {
        matches!(self, Self::PlanAndApply | Self::ApplyPlan)
    }
}
