//! Charges that are exported and imported both ways: both machines then know every charge of either,
//! and each is certain if it was on one of them.

use std::collections::BTreeMap;

use proptest::prelude::*;
use reqwest::Url;

use super::{ChargeCertainty, Charges, ExportedCharges, tables};
use crate::account::{AccountDb, AccountId, Identity, KeyFingerprint, RunEntry, Service, StateDir};
use crate::history::ExtensionReport;
use crate::row::testing::extensions;
use crate::row::{ExtensionName, FileId};
use crate::sent::SentExtension;
use crate::spending::{Runs, Spent};

const FILES: [&str; 3] = ["a", "b", "c"];
const CONFIGS: [&str; 2] = [r#"{"name":"remove-bg"}"#, r#"{"name":"ai-auto-description"}"#];

/// File, configuration, and the report.
type Recorded = (usize, usize, ExtensionReport);

/// A state directory of its own, with the charges of one run.
struct Machine {
    _directory: tempfile::TempDir,
    account: AccountId,
    charges: Charges,
}

impl Machine {
    fn with(id: &str, recorded: &[Recorded]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::open(&directory.path().join("state")).unwrap();
        let service = Service::at(&Url::parse("https://api.imagekit.io").unwrap());
        let key = KeyFingerprint::new(&service, &"key".to_owned().into());
        let db = AccountDb::open(&state).unwrap();
        let account = db.account_of(&Identity { service: service.clone(), key, name: None });
        let account = account.unwrap();
        let path = directory.path();
        let (endpoint, begun) = ("https://api.imagekit.io", "2026-11-30T00:00:00Z");
        db.register(account, &RunEntry { id, path, endpoint, begun, position: 1 }).unwrap();
        let charges = Charges::open(&state, &service).unwrap();
        let change = charges.db.change(|connection| {
            let run = tables::number_of(connection, id)?;
            let mut spent = Spent::default();
            for (file, config, report) in recorded {
                let file = FileId::new(FILES[*file]).unwrap();
                let extension = SentExtension::of(&extensions(&[CONFIGS[*config]]).as_slice()[0]);
                tables::record(connection, &service, run, &file, &extension, *report)?;
                spent.add(jiff::civil::date(2026, 11, 30), extension.name, 1);
            }
            tables::record_spent(connection, run, &spent)
        });
        change.unwrap();
        Self { _directory: directory, account, charges }
    }

    fn export(&self) -> (ExportedCharges, Vec<u8>) {
        let mut text = Vec::new();
        (self.charges.export(self.account, None, &mut text).unwrap(), text)
    }

    fn import(&self, text: &[u8]) {
        self.charges.import(self.account, None, text).unwrap();
    }

    /// The certainty of every charge.
    fn certainties(&self) -> BTreeMap<(String, Option<ExtensionName>), ChargeCertainty> {
        let files = FILES.iter().flat_map(|id| {
            let charges = self.charges.of_file(&FileId::new(id).unwrap()).unwrap();
            charges
                .into_iter()
                .map(|found| (((*id).to_owned(), found.extension), found.charge.certainty))
        });
        files.collect()
    }

    fn spent(&self) -> Runs {
        self.charges.overview(self.account).unwrap().spent.total()
    }
}

fn recorded() -> impl Strategy<Value = Vec<Recorded>> {
    let report = [
        ExtensionReport::Status,
        ExtensionReport::Nothing,
        ExtensionReport::ResponseLost,
        ExtensionReport::Failed,
    ];
    let report = prop::sample::select(report.to_vec());
    prop::collection::vec((0..FILES.len(), 0..CONFIGS.len(), report), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn merged_charges_are_those_of_either_and_the_more_certain_ones(
        ours in recorded(),
        theirs in recorded(),
    ) {
        let (here, there) = (Machine::with("run1", &ours), Machine::with("run2", &theirs));
        let mut expected = here.certainties();
        for (key, theirs) in there.certainties() {
            expected.entry(key).and_modify(|ours| *ours = theirs.min(*ours)).or_insert(theirs);
        }
        let spent = here.spent().and(&there.spent());
        let (_, from_here) = here.export();
        let (counts, from_there) = there.export();
        prop_assert_eq!(counts.charges, there.certainties().len() as u64);
        here.import(&from_there);
        there.import(&from_here);
        // A second time changes nothing.
        here.import(&from_there);
        for machine in [&here, &there] {
            prop_assert_eq!(machine.certainties(), expected.clone());
            prop_assert_eq!(machine.spent(), spent.clone());
        }
    }
}
