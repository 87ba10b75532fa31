//! The sandbox of a run: a local ImageKit with the files that the sheet names.

use ikbulk::engine::{Error, Refusal, Sandbox, StartSandbox};
use ikbulk::internals::{Context, Input};
use ikbulk_sandbox::{Config, Library};

/// Starts a sandbox in this process.
#[derive(Debug)]
pub(super) struct RunSandbox;

impl StartSandbox for RunSandbox {
    fn start(&self, input: &Input) -> Result<Sandbox, Error> {
        let mut records = input.records(&Context::default())?;
        let (mut ids, mut targets) = (Vec::new(), Vec::new());
        while records.advance()?.is_some() {
            let id = records.file_id();
            if !id.is_empty() {
                ids.push(id.into_owned());
            }
            targets.extend(records.target());
        }
        let mut library = Library::from_ids(ids);
        for target in &targets {
            let url = target.url().map(|url| format!("https:{url}"));
            library.add_at(target.file_path(), url.as_deref());
        }
        let config = Config { library, ..Config::default() };
        let running =
            ikbulk_sandbox::start(config).map_err(|error| Refusal::Sandbox(error.to_string()))?;
        Ok(Sandbox {
            endpoint: running.base_url(),
            key: running.key().to_owned().into(),
            server: Box::new(running),
        })
    }
}
