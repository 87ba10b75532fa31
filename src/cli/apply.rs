//! `ikbulk apply`: shows what is about to happen, asks, does it.

use std::future::Future;
use std::path::PathBuf;

use clap::Args;
use jiff::ZonedDateTime;

use super::bounds::{Bounds, Deadline};
use super::choices::{Choices, Client};
use super::finish::Ready;
use super::prepare::{Fields, InputArg, lock, paid_work, start_sandbox};
use super::resume::Resume;
use super::{Refusal, Screen};
use crate::execute::Stop;
use crate::input::{Context, Format, Owned};
use crate::ledger::{Facts, LedgerFile};
use crate::plan::{Survey, survey};
use crate::report::{Opening, Target, opening};
use crate::run::{Place, RunDir, Session, unfinished_runs};
use crate::settings::Execution;
use crate::words::counted;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Apply {
    /// The sheet of changes, CSV or JSONL; - for standard input
    #[arg(value_name = "FILE")]
    file: InputArg,
    /// Try it on a local ImageKit, started for this run: no account, no network
    #[arg(long, conflicts_with = "endpoint")]
    sandbox: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Send every row as it is, without reading the live state (so far the only way)
    #[arg(long)]
    direct: bool,
    /// Go on with an unfinished run of this input, if there is one (for cron)
    #[arg(long = "continue")]
    continue_run: bool,
    /// How the input is written [default: what its name or beginning says]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Where the run lives [default: `<sheet>.ikbulk/<UTC time>/` beside FILE]
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Take custom metadata as it stands, without asking the account for its fields
    #[arg(long)]
    no_schema: bool,
    /// Accept an input without rows
    #[arg(long)]
    allow_empty: bool,
    /// Send rows of an unknown.csv again, although they may have been done: this can pay twice
    #[arg(long)]
    repeat_unknown: bool,
    #[command(flatten)]
    bounds: Bounds,
    #[command(flatten)]
    choices: Choices,
}

impl Apply {
    pub(super) async fn run(
        mut self,
        screen: &Screen,
        signal: impl Future<Output = Stop>,
    ) -> Result<u8, Refusal> {
        self.choices = self.choices.with_profile()?;
        let execution = self.choices.execution()?;
        let deadline = Deadline::of(&self.bounds)?;
        if screen.is_quiet() && !self.yes && !self.sandbox {
            return Err(Refusal::new("with -q nobody sees what is asked: add --yes"));
        }
        let run = match &self.run_dir {
            Some(path) => RunDir::create_at(path),
            None => RunDir::create(self.file.path(), jiff::Timestamp::now()),
        }
        .map_err(|error| Refusal::of(&error))?;
        match self.prepare(&run, execution, screen).await {
            Ok(Prepared::Ready(ready)) => ready.finish(screen, signal, deadline).await,
            Ok(Prepared::Continue(other)) => {
                run.discard();
                Resume::of(&other, self.bounds, self.choices).run(screen, signal).await
            }
            Err(refusal) => {
                run.discard();
                Err(refusal)
            }
        }
    }

    /// Everything up to the first request that changes anything.
    async fn prepare(
        &self,
        run: &RunDir,
        execution: Execution,
        screen: &Screen,
    ) -> Result<Prepared, Refusal> {
        let owned = self.file.take_over(self.format, run.path())?;
        let (sandbox, client) = if self.sandbox {
            let (sandbox, client) = start_sandbox(&owned.input, &self.choices)?;
            (Some(sandbox), client)
        } else {
            (None, self.choices.api()?)
        };
        // Before looking for unfinished runs, or one that is under way would be taken for one.
        let lock = match sandbox {
            Some(_) => None,
            None => Some(lock(&client.account, run, self.bounds.wait_lock).await?),
        };
        match self.unfinished(&owned, &client) {
            Some(Unfinished { run, same_input: true }) if self.continue_run => {
                return Ok(Prepared::Continue(run));
            }
            Some(Unfinished { run, same_input: true }) => {
                return Err(Refusal::new(format!(
                    "there is an unfinished run of this input: {0}\n\
                     go on with it:  ikbulk resume {0}\n\
                     or remove it to begin anew",
                    run.path().display()
                )));
            }
            Some(Unfinished { run, same_input: false }) => screen.error(&format!(
                "there is an unfinished run of an earlier state of this sheet, {}; do not resume \
                 it after this one, or its older values go over the new ones",
                run.path().display()
            )),
            None => {}
        }
        let fields = if self.no_schema {
            Fields::unchecked()
        } else {
            Fields::of(&client, &owned.input, &execution).await?
        };
        let context = fields.context(self.choices.clear_token());
        let survey = survey(&owned.input, &context).map_err(|error| Refusal::of(&error))?;
        let pays = !survey.tally.paid_runs.is_empty();
        let paid = paid_work(&client, pays && !self.sandbox, screen)?;
        self.show_and_ask(&survey, &client, &execution, screen)?;
        let facts = Facts {
            input_name: self.file.name(),
            input_format: owned.input.format,
            input_fingerprint: owned.fingerprint.0.clone(),
            rows: survey.tally.rows,
            endpoint: client.endpoint.clone(),
            account: client.account.clone(),
            sandbox: self.sandbox,
            pays,
            clear_token: self.choices.clear_token(),
            fields: fields.json,
            begun: jiff::Timestamp::now().to_string(),
        };
        let ledger =
            LedgerFile::create(run.path(), &facts).map_err(|error| Refusal::not_written(&error))?;
        Ok(Prepared::Ready(Box::new(Ready {
            session: self.session(&owned, context, execution),
            run: run.clone(),
            facts,
            ledger,
            paid,
            api: client.api,
            _lock: lock,
            _sandbox: sandbox,
        })))
    }

    fn session(&self, owned: &Owned, context: Context, execution: Execution) -> Session {
        Session { input: owned.input.clone(), context, execution, rows_max: self.bounds.limit }
    }

    /// An unfinished run of the same bytes for the same account, or else of another state of the
    /// same sheet. A sandbox's runs end with it.
    fn unfinished(&self, owned: &Owned, client: &Client) -> Option<Unfinished> {
        if self.sandbox {
            return None;
        }
        let runs = unfinished_runs(&Place::Input(self.file.path()));
        let ours = runs.into_iter().filter_map(|run| {
            let facts = run.ledger().and_then(|ledger| ledger.facts()).ok()?;
            let same_input = facts.input_fingerprint == owned.fingerprint.0;
            (facts.account == client.account && !facts.sandbox)
                .then_some(Unfinished { run, same_input })
        });
        ours.max_by_key(|unfinished| unfinished.same_input)
    }

    fn show_and_ask(
        &self,
        survey: &Survey,
        client: &Client,
        execution: &Execution,
        screen: &Screen,
    ) -> Result<(), Refusal> {
        let tally = &survey.tally;
        screen.say(&opening(&Opening {
            input: &self.file.name(),
            tally,
            ignored_columns: &survey.ignored_columns,
            left_alone: survey.left_alone,
            target: Some(Target {
                endpoint: &client.endpoint,
                account: &client.account,
                sandbox: self.sandbox,
                execution,
                limit: self.bounds.limit,
                now: ZonedDateTime::now(),
            }),
            width: screen.width(),
        }));
        if tally.rows == 0 && !self.allow_empty {
            return Err(Refusal::new("the input has no rows (--allow-empty accepts that)"));
        }
        if let Some(row) = survey.first_unknown.filter(|_| !self.repeat_unknown) {
            return Err(Refusal::new(format!(
                "row {row} is one of which nobody knows whether it was done; sending it again can \
                 pay for it twice. Look at the file first; --repeat-unknown sends it all the same"
            )));
        }
        if self.sandbox {
            return Ok(());
        }
        let attended = screen.is_attended() && self.file.path().is_some() && !self.yes;
        if tally.rejected_share() > self.choices.max_bad() && !attended {
            return Err(Refusal::new(format!(
                "{} in {}, more than --max-bad allows ({} %); nothing was sent",
                counted(tally.rejected, "bad row", "bad rows"),
                tally.rows,
                self.choices.max_bad() * 100.0
            )));
        }
        match (self.yes, attended) {
            (true, _) => Ok(()),
            (false, true) if screen.ask("Send this?") => Ok(()),
            (false, true) => Err(Refusal::new("nothing was sent")),
            (false, false) => Err(Refusal::new(
                "there is nobody to ask; --yes sends without asking. Nothing was sent",
            )),
        }
    }
}

/// A run of the sheet that can be gone on with.
struct Unfinished {
    run: RunDir,
    /// The sheet has not changed since.
    same_input: bool,
}

/// What a run came to before its first request.
enum Prepared {
    Ready(Box<Ready>),
    /// There is another one to go on with.
    Continue(RunDir),
}
