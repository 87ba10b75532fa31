//! Snapshots of `-h` and `--help`.

use ikbulk_sandbox::Config;

use crate::harness::TestEnv;

const COMMANDS: [&str; 8] =
    ["check", "plan", "apply", "resume", "undo", "report", "export", "sandbox"];

#[test]
fn help_of_every_command() {
    let env = TestEnv::new(Config::default());
    for command in [""].iter().chain(&COMMANDS) {
        for (flag, length) in [("-h", "short"), ("--help", "long")] {
            let arguments: Vec<&str> = command.split_whitespace().chain([flag]).collect();
            let help = env.command(&arguments).env("COLUMNS", "100").run().exits(0);
            let command = if command.is_empty() { "ikbulk" } else { command };
            insta::assert_snapshot!(format!("{command}_{length}"), help.out);
        }
    }
}
