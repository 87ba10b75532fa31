//! A sheet on its way to a run: taken over, read whole, its files looked up and read, and shown.

use std::path::PathBuf;

use clap::Args;
use jiff::ZonedDateTime;

use super::choices::{Choices, Client};
use super::look_up::Surveyed;
use super::prepare::{CHECK_KEY, Fields, InputArg, bought, new_run, paid_work, start_sandbox};
use super::{Refusal, Screen};
use crate::account::state_dir::StateDir;
use crate::execute::Reads;
use crate::imagekit::Failure;
use crate::input::{Context, Format, Owned};
use crate::ledger::{Facts, LedgerFile, Stage};
use crate::plan::{FileDifference, Planner, Survey, survey};
use crate::report::{Counter, Opening, Target, opening};
use crate::resolve::LookedUp;
use crate::run::{
    LiveReader, PaidWork, ReadError, Reading, RunDir, RunLock, Way, expect_written, recent_runs,
};
use crate::sandbox;
use crate::settings::{Execution, LiveOptions, Planning};
use crate::words::counted;

/// The sheet and how it is read.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Sheet {
    /// The sheet of changes, CSV or JSONL; - for standard input
    #[arg(value_name = "FILE")]
    pub(super) file: InputArg,
    /// Try it on a local ImageKit, started for this run: no account, no network
    #[arg(long, conflicts_with = "endpoint")]
    pub(super) sandbox: bool,
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
    /// Replace tags by one PATCH a file, never by adding some and removing others: exact even where
    /// somebody else changes the tags of the same files meanwhile
    #[arg(long)]
    exact: bool,
    /// Run extensions again that an earlier run paid for on the same file; this pays again
    #[arg(long)]
    rerun_extensions: bool,
    /// Run no tagging extension on a file that has AI tags of it
    #[arg(long)]
    skip_tagged: bool,
}

/// A sheet that the run owns, and where it goes.
pub(super) struct Opened {
    pub(super) owned: Owned,
    pub(super) client: Client,
    /// Where what is known of its account is kept; `None` for a sandbox of its own.
    pub(super) state: Option<StateDir>,
    pub(super) sandbox: Option<sandbox::Running>,
}

/// A sheet that has been read whole.
pub(super) struct Planned {
    pub(super) survey: Survey,
    pub(super) context: Context,
    looked_up: Option<LookedUp>,
    /// What was read of its files, and in how many requests.
    pub(super) reading: Option<(Reading, u64)>,
    /// How the run is executed behind what was read.
    pub(super) execution: Execution,
    pub(super) facts: Facts,
    pub(super) ledger: LedgerFile,
    /// Where it is remembered what the run buys.
    pub(super) paid: Option<PaidWork>,
}

/// How a sheet is to be planned.
pub(super) struct Wish<'w> {
    pub(super) planning: Planning,
    /// Whether what the files are like is kept where the plan does not stand on it.
    pub(super) keeps_before: bool,
    pub(super) run: &'w RunDir,
    pub(super) choices: &'w Choices,
    pub(super) execution: &'w Execution,
    pub(super) screen: &'w Screen,
    /// Whether no other run on the account can be under way.
    pub(super) holds_lock: bool,
    /// Whether somebody can be asked about bad rows.
    pub(super) attended: bool,
}

/// Looks at what becomes of a file.
pub(super) type See<'s> = &'s dyn Fn(&FileDifference);

impl Sheet {
    /// A new directory for the run, which is locked from its beginning.
    pub(super) fn run_dir(&self, choices: &Choices) -> Result<(RunDir, RunLock), Refusal> {
        new_run(match &self.run_dir {
            Some(path) => RunDir::create_at(path),
            None => RunDir::create(&self.file.beside(choices)?, jiff::Timestamp::now()),
        })
    }

    pub(super) fn live(&self) -> Planning {
        Planning::Live(LiveOptions {
            exact: self.exact,
            rerun_extensions: self.rerun_extensions,
            skip_tagged: self.skip_tagged,
        })
    }

    pub(super) fn open(&self, run: &RunDir, choices: &Choices) -> Result<Opened, Refusal> {
        let owned = self.file.take_over(self.format, run.path())?;
        if self.sandbox {
            let (sandbox, client) = start_sandbox(&owned.input, choices)?;
            return Ok(Opened { owned, client, state: None, sandbox: Some(sandbox) });
        }
        let (client, state) = (choices.api()?, Some(choices.state_dir()?));
        Ok(Opened { owned, client, state, sandbox: None })
    }

    /// Reads the sheet whole, and what its files are like where the plan stands on that; `see` is
    /// shown what becomes of each file.
    pub(super) async fn plan(
        &self,
        opened: &Opened,
        wish: &Wish<'_>,
        see: Option<See<'_>>,
    ) -> Result<Planned, Refusal> {
        let Opened { owned, client, state, .. } = opened;
        let state = state.as_ref();
        let Wish { execution, screen, .. } = wish;
        let reads = Reads::new(execution);
        let fields = if self.no_schema {
            Fields::unchecked()
        } else {
            Fields::of(client, &owned.input, &reads).await?
        };
        let context = fields.context(wish.choices.clear_token(), None);
        let surveyed = Surveyed::of(&owned.input, context, client, &reads, screen).await?;
        let Surveyed { mut survey, context, looked_up } = surveyed;
        self.refuse(&survey, client, wish)?;
        let pays = !survey.tally.paid_runs.is_empty();
        let is_remembered = pays && wish.holds_lock;
        let paid = paid_work(state, client, is_remembered, screen)?;
        let facts = Facts {
            input_name: self.file.name(),
            input_format: owned.input.format,
            input_fingerprint: owned.fingerprint.0.clone(),
            rows: survey.tally.rows,
            writes: 0,
            endpoint: client.endpoint.clone(),
            account: client.account.clone(),
            sandbox: self.sandbox,
            pays,
            clear_token: wish.choices.clear_token(),
            fields: fields.json,
            begun: jiff::Timestamp::now().to_string(),
            guarded: false,
            planning: wish.planning,
            stage: Stage::Planning,
        };
        let ledger = LedgerFile::create(wish.run.path(), &facts, context.files.as_deref())
            .map_err(|error| Refusal::not_written(&error))?;
        let sent_before = reads.sent();
        let counter = Counter::new(screen.bars());
        let reader =
            LiveReader { ledger: &ledger, api: &client.api, reads: &reads, counter: &counter };
        let reading = match wish.planning {
            Planning::Live(_) => {
                let (with_state, read) = live(reader, state, owned, &context, &facts, see).await?;
                survey = with_state;
                Some(read)
            }
            Planning::Direct if wish.keeps_before => {
                before(reader, state, owned, &context, &facts, screen).await?
            }
            Planning::Direct => None,
        };
        let reading = reading.map(|reading| (reading, reads.sent() - sent_before));
        let execution = execution.after(&reads);
        Ok(Planned { survey, context, looked_up, reading, execution, facts, ledger, paid })
    }

    /// Refuses what nobody can want to be sent.
    fn refuse(&self, survey: &Survey, client: &Client, wish: &Wish<'_>) -> Result<(), Refusal> {
        let tally = &survey.tally;
        let why = if tally.rows == 0 && !self.allow_empty {
            "the input has no rows (--allow-empty accepts that)".to_owned()
        } else if let Some(row) = survey.first_unknown.filter(|_| !self.repeat_unknown) {
            format!(
                "row {row} is one of which nobody knows whether it was done; sending it again can \
                 pay for it twice. Look at the file first; --repeat-unknown sends it all the same"
            )
        } else if !self.sandbox && !wish.attended && tally.rejected_share() > wish.choices.max_bad()
        {
            format!(
                "{} in {}, more than --max-bad allows ({} %); nothing was sent",
                counted(tally.rejected, "bad row", "bad rows"),
                tally.rows,
                wish.choices.max_bad() * 100.0
            )
        } else {
            return Ok(());
        };
        // What is refused is shown, so that the person sees why.
        wish.screen.say(&opening(&Opening {
            input: &self.file.name(),
            tally,
            ignored_columns: &survey.ignored_columns,
            left_alone: survey.left_alone,
            looked_up: None,
            reading: None,
            target: Some(self.target(client, wish, None)),
            width: wish.screen.width(),
        }));
        Err(Refusal::new(why))
    }

    /// Says what is about to happen.
    pub(super) fn show(
        &self,
        planned: &Planned,
        client: &Client,
        wish: &Wish<'_>,
        limit: Option<u64>,
    ) {
        let survey = &planned.survey;
        wish.screen.say(&opening(&Opening {
            input: &self.file.name(),
            tally: &survey.tally,
            ignored_columns: &survey.ignored_columns,
            left_alone: survey.left_alone,
            looked_up: planned.looked_up.as_ref(),
            reading: planned.reading,
            target: Some(self.target(client, wish, limit)),
            width: wish.screen.width(),
        }));
    }

    fn target<'t>(&self, client: &'t Client, wish: &Wish<'t>, limit: Option<u64>) -> Target<'t> {
        Target {
            endpoint: &client.endpoint,
            account: &client.account,
            sandbox: self.sandbox,
            execution: wish.execution,
            limit,
            now: ZonedDateTime::now(),
        }
    }
}

impl Planned {
    /// Writes down how far the run has come.
    pub(super) fn reach(&mut self, stage: Stage) -> Result<(), Refusal> {
        self.facts.stage = stage;
        self.facts.writes = self.survey.tally.writes;
        self.ledger.set_facts(&self.facts).map_err(|error| Refusal::not_written(&error))
    }
}

/// Reads what the files are like, and plans with it. Some of them are looked at again; if one is out
/// of date, all are read by themselves.
async fn live(
    reader: LiveReader<'_>,
    state: Option<&StateDir>,
    owned: &Owned,
    context: &Context,
    facts: &Facts,
    see: Option<See<'_>>,
) -> Result<(Survey, Reading), Refusal> {
    let failed = |error: ReadError| not_read(&error);
    reader.name_files(&owned.input, context).map_err(failed)?;
    let mut reading = read_files(reader, state, facts).await.map_err(failed)?;
    reader.verify_sample(&mut reading).await.map_err(failed)?;
    let mut planner = Planner::of(facts.planning, reader.ledger, bought(state, facts)?)
        .map_err(|error| Refusal::not_written(&error))?;
    if see.is_some() {
        planner.tell_differences();
    }
    let survey = survey(&owned.input, context, &mut planner, |batch| {
        if let Some(see) = see {
            batch.differences.iter().for_each(see);
        }
    });
    Ok((survey.map_err(|error| Refusal::of(&error))?, reading))
}

/// Reads the files that have been named. A list is believed of those that were written by runs on
/// the account just now only if it shows them as they were written; the others are looked at again.
pub(super) async fn read_files(
    reader: LiveReader<'_>,
    state: Option<&StateDir>,
    facts: &Facts,
) -> Result<Reading, ReadError> {
    let mut reading = reader.read().await?;
    if let Some(state) = state.filter(|_| reading.way != Way::OneByOne) {
        let runs = recent_runs(state, &facts.account, jiff::Timestamp::now());
        expect_written(&runs, reader.ledger)?;
        reader.verify_unexpected(&mut reading).await?;
    }
    Ok(reading)
}

/// Keeps what the files are like before they are changed, for `undo`. What cannot be read is no
/// reason not to change it.
async fn before(
    reader: LiveReader<'_>,
    state: Option<&StateDir>,
    owned: &Owned,
    context: &Context,
    facts: &Facts,
    screen: &Screen,
) -> Result<Option<Reading>, Refusal> {
    let failed = |error: ReadError| not_read(&error);
    reader.name_files(&owned.input, context).map_err(failed)?;
    match read_files(reader, state, facts).await {
        Ok(reading) => Ok(Some(reading)),
        Err(ReadError::Api(failure)) => {
            screen.error(&format!(
                "cannot read what all of the files are like before, so that `ikbulk undo` cannot \
                 put back what they were: {failure}"
            ));
            Ok(None)
        }
        Err(error) => Err(failed(error)),
    }
}

fn not_read(error: &ReadError) -> Refusal {
    let hint = match error {
        ReadError::Api(Failure::Account { .. }) => CHECK_KEY,
        ReadError::Api(Failure::Refused { .. }) => " (--direct goes without reading them)",
        _ => "",
    };
    let why = crate::error::chain(error);
    Refusal::new(format!("{}{hint}; nothing was sent", why.trim_end_matches('.')))
}
