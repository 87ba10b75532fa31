//! `ikbulk undo`: puts back what was there before a run.

use std::future::Future;
use std::path::PathBuf;

use clap::Args;
use jiff::ZonedDateTime;

use super::bounds::{Bounds, Deadline};
use super::choices::{Choices, Client};
use super::finish::Ready;
use super::prepare::{ask, bought, lock, lock_run, new_run};
use super::sheet::read_files;
use super::{Refusal, Screen};
use crate::account::state_dir::StateDir;
use crate::error::chain;
use crate::execute::{Reads, Stop};
use crate::input::{Context, Format, Input, in_place};
use crate::ledger::{Facts, LedgerError, LedgerFile, LiveState, Stage};
use crate::plan::{Planner, survey};
use crate::report::{Counter, Opening, Target, opening, undoing};
use crate::row::FileId;
use crate::run::{AccountLock, LiveReader, ReadError, Reading, RunDir, Sample, Session, Way};
use crate::settings::{Execution, LiveOptions, Planning};
use crate::undo::{Past, Sheets, UndoError, Undoing, walk};

/// The exit code where everything was put back that is not left alone: somebody must look at that.
const LEFT_ALONE: u8 = 1;

#[derive(Debug, Args)]
pub(super) struct Undo {
    /// The directory of the run to be undone
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Where the run that undoes it lives [default: beside RUN]
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// The account's key was replaced since
    #[arg(long)]
    key_changed: bool,
    #[command(flatten)]
    bounds: Bounds,
    #[command(flatten)]
    choices: Choices,
}

impl Undo {
    pub(super) async fn run(
        mut self,
        screen: &Screen,
        signal: impl Future<Output = Stop>,
    ) -> Result<u8, Refusal> {
        self.choices = self.choices.with_profile()?;
        let execution = self.choices.execution()?;
        let deadline = Deadline::of(&self.bounds)?;
        if screen.is_quiet() && !self.yes {
            return Err(Refusal::new("with -q nobody sees what is asked: add --yes"));
        }
        let old = RunDir::open(&self.run).map_err(|error| Refusal::of(&error))?;
        let _old_lock = lock_run(&old, self.bounds.wait_lock).await?;
        let old = Old::open(old)?;
        let (run, _run_lock) = new_run(match &self.run_dir {
            Some(path) => RunDir::create_at(path),
            None => RunDir::create_beside(&old.run, jiff::Timestamp::now()),
        })?;
        match self.prepare(&old, &run, execution, screen).await {
            Ok((prepared, back)) => {
                let exit_code = prepared.finish(screen, signal, deadline).await?;
                let Some(list) = back.list else {
                    return Ok(exit_code);
                };
                screen
                    .say(&format!("next       look at what was left alone: {}\n", list.display()));
                Ok(if exit_code == 0 { LEFT_ALONE } else { exit_code })
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
        old: &Old,
        run: &RunDir,
        execution: Execution,
        screen: &Screen,
    ) -> Result<(Box<Ready>, Undoing), Refusal> {
        let client = self.client(old)?;
        let state = self.choices.state_dir()?;
        let locks = self.locks(old, &client, &state, run).await?;
        if old.is_unfinished {
            let path = old.run.path().display();
            screen.error(&format!("{path} is unfinished; what it did so far is undone"));
        }
        let mut facts = old.facts_of_undoing(&client);
        let ledger = LedgerFile::create(run.path(), &facts, None).map_err(not_written)?;
        let reads = Reads::new(&execution);
        let counter = Counter::new(screen.bars());
        let reader =
            LiveReader { ledger: &ledger, api: &client.api, reads: &reads, counter: &counter };
        let reading = read(old.past(), reader, &state, &facts).await?;
        drop(counter);
        let back = write_sheets(old.past(), &ledger, run).map_err(|error| failed(&error))?;
        let owned = in_place(run.input(Format::Jsonl)).map_err(|error| Refusal::of(&error))?;
        facts.input_fingerprint = owned.fingerprint.0;
        let context = Context { files: None, ..old.context.clone() };
        let planner = || {
            Planner::of(facts.planning, &ledger, bought(Some(&state), &facts)?).map_err(not_written)
        };
        let survey = survey(&owned.input, &context, &mut planner()?, |_| {});
        let survey = survey.map_err(|error| Refusal::of(&error))?;
        screen.say(&opening(&Opening {
            input: &facts.input_name,
            tally: &survey.tally,
            ignored_columns: &[],
            left_alone: 0,
            looked_up: None,
            reading: Some((reading, reads.sent())),
            target: Some(Target {
                endpoint: &client.endpoint,
                account: &client.account,
                sandbox: false,
                execution: &execution,
                limit: self.bounds.limit,
                now: ZonedDateTime::now(),
            }),
            width: screen.width(),
        }));
        screen.say(&undoing(&back, screen.width()));
        if !self.yes {
            ask(screen.is_attended(), &survey.tally, self.choices.max_bad(), screen)?;
        }
        let planner = planner()?;
        (facts.rows, facts.writes) = (survey.tally.rows, survey.tally.writes);
        facts.stage = Stage::Running;
        ledger.set_facts(&facts).map_err(not_written)?;
        let rows_max = self.bounds.limit;
        let prepared = Box::new(Ready {
            session: Session {
                input: owned.input,
                context,
                execution: execution.after(&reads),
                rows_max,
            },
            planner,
            run: run.clone(),
            facts,
            ledger,
            paid: None,
            api: client.api,
            state: Some(state),
            _locks: locks,
            _sandbox: None,
        });
        Ok((prepared, back))
    }

    /// The account that the run was on.
    fn client(&self, old: &Old) -> Result<Client, Refusal> {
        self.choices.go_to(&old.facts.endpoint)?;
        let client = self.choices.client_of(&old.facts.endpoint)?;
        if client.account != old.facts.account && !self.key_changed {
            return Err(Refusal::new(
                "this is not the key that the run was begun with; nothing was sent.\n\
                 If it is the same account's, say --key-changed",
            ));
        }
        Ok(client)
    }

    /// With the key that it was begun with, the run may be under way at this moment.
    async fn locks(
        &self,
        old: &Old,
        client: &Client,
        state: &StateDir,
        run: &RunDir,
    ) -> Result<Vec<AccountLock>, Refusal> {
        let mut locks = vec![lock(state, &client.account, run, self.bounds.wait_lock).await?];
        if client.account != old.facts.account {
            locks.push(lock(state, &old.facts.account, run, self.bounds.wait_lock).await?);
        }
        Ok(locks)
    }
}

/// The run to be undone.
struct Old {
    run: RunDir,
    facts: Facts,
    ledger: LedgerFile,
    input: Input,
    context: Context,
    is_unfinished: bool,
    is_cut_short: bool,
}

impl Old {
    fn open(run: RunDir) -> Result<Self, Refusal> {
        let path = run.path().display();
        let ledger = run.ledger().map_err(not_written)?;
        let facts = ledger.facts().map_err(not_written)?;
        if facts.sandbox {
            return Err(Refusal::new(format!(
                "{path} was on a sandbox of its own, which is gone with all that was changed on it; \
                 there is nothing to undo. To try it, start `ikbulk sandbox`"
            )));
        }
        if facts.stage != Stage::Running {
            return Err(Refusal::new(format!("{path} was never begun; there is nothing to undo")));
        }
        if ledger.file_count().map_err(not_written)? == 0 {
            return Err(Refusal::new(format!(
                "{path} did not keep what its files were like before (--no-before), or was about \
                 none; nothing can be put back"
            )));
        }
        let ended = ledger.ended().map_err(not_written)?;
        let context = ledger.context(&facts).map_err(not_written)?;
        let input = run.input(facts.input_format);
        let is_unfinished = ended.is_none_or(|ended| ended.not_attempted > 0);
        let is_cut_short = ended.is_none();
        Ok(Self { run, facts, ledger, input, context, is_unfinished, is_cut_short })
    }

    fn past(&self) -> Past<'_> {
        Past {
            input: &self.input,
            context: &self.context,
            ledger: &self.ledger,
            planning: self.facts.planning,
            is_cut_short: self.is_cut_short,
        }
    }

    /// What the run that undoes it is, before it is known what it puts back.
    fn facts_of_undoing(&self, client: &Client) -> Facts {
        Facts {
            input_name: Facts::name_of_undoing(self.run.path()),
            input_format: Format::Jsonl,
            input_fingerprint: String::new(),
            rows: 0,
            writes: 0,
            endpoint: client.endpoint.clone(),
            account: client.account.clone(),
            sandbox: false,
            pays: false,
            clear_token: self.facts.clear_token.clone(),
            fields: self.facts.fields.clone(),
            begun: jiff::Timestamp::now().to_string(),
            guarded: false,
            planning: Planning::Live(LiveOptions::default()),
            stage: Stage::Planning,
        }
    }
}

/// Reads what the files of the run are like now. Some are looked at again, and more of those that are
/// not as it left them: a list that is behind shows them as they were before. If one is out of date,
/// all are read by themselves.
async fn read(
    past: Past<'_>,
    reader: LiveReader<'_>,
    state: &StateDir,
    facts: &Facts,
) -> Result<Reading, Refusal> {
    let not_read = |error: ReadError| Refusal::new(format!("{}; nothing was sent", chain(&error)));
    let ledger = reader.ledger;
    let named = ledger
        .as_one(|| walk(past, |deeds| Ok(ledger.name_file(deeds.file.as_str(), 0)?)))
        .map_err(|error: UndoError| failed(&error));
    named?;
    let mut reading = read_files(reader, Some(state), facts).await.map_err(not_read)?;
    if reading.way != Way::OneByOne {
        reader.verify_sample(&mut reading).await.map_err(not_read)?;
        let mut suspects = Sample::default();
        let looked_at = walk(past, |deeds| {
            let is_as_left = matches!(now(ledger, &deeds.file)?,
                LiveState::Is(fields) if deeds.is_as_left(&fields));
            if !is_as_left {
                suspects.see(&deeds.file);
            }
            Ok(())
        });
        looked_at.map_err(|error| failed(&error))?;
        reader.verify(&suspects.files(), &mut reading).await.map_err(not_read)?;
    }
    Ok(reading)
}

fn now(ledger: &LedgerFile, file: &FileId) -> Result<LiveState, LedgerError> {
    let known = ledger.known_file(file.as_str())?;
    Ok(known.map(|known| known.state).unwrap_or_default())
}

/// Writes the sheet that puts back what was there before, and the list of what is left alone.
fn write_sheets(past: Past<'_>, ledger: &LedgerFile, run: &RunDir) -> Result<Undoing, UndoError> {
    let mut sheets = Sheets::create(run.path())?;
    ledger.as_one(|| {
        walk(past, |deeds| {
            let back = match now(ledger, &deeds.file)? {
                LiveState::Is(fields) => deeds.back(Some(&fields)),
                LiveState::Missing | LiveState::Unread => deeds.back(None),
            };
            if let Some(row) = sheets.write(&deeds, &back)? {
                ledger.name_file(deeds.file.as_str(), row)?;
            }
            Ok(())
        })
    })?;
    Ok(sheets.finish()?)
}

fn failed(error: &UndoError) -> Refusal {
    match error {
        UndoError::Input(error) => Refusal::of(error),
        UndoError::Ledger(_) | UndoError::Write(_) => Refusal::not_written(error),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands behind map_err")]
fn not_written(error: LedgerError) -> Refusal {
    Refusal::not_written(&error)
}
