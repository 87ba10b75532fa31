//! Extensions by name: those that the account has saved, and presets of the settings file.

use ikbulk_sandbox::{Config, ExtensionOutcome, Status};
use serde_json::json;

use crate::harness::{Cases, KEY, TestEnv, assert_text, files, script, sheet, status};

/// An account with saved extensions, each of which works.
fn env<const N: usize>(ids: [&str; N]) -> TestEnv {
    TestEnv::new(working(files(ids)))
}

fn working(config: Config) -> Config {
    Config { extensions: ExtensionOutcome::Always(Status::Success), ..config }
}

fn extensions(rows: &[(&str, &str)]) -> String {
    let cell = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    sheet("fileId,extensions", rows.iter().map(|(id, text)| format!("{id},{}", cell(text))))
}

/// Changes the saved extension of the account, as its dashboard would.
fn patch(env: &TestEnv, path: &str, body: &serde_json::Value) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let url = format!("{}{path}", env.sandbox.base_url());
    let request = reqwest::Client::new().patch(url).basic_auth(KEY, Some(""));
    let request = request.header("content-type", "application/json").body(body.to_string());
    let response = runtime.expect("a runtime can be made").block_on(request.send());
    assert_eq!(response.expect("the sandbox responds").status(), 200);
}

const BY_ID: &str = r#"[{"name":"saved-extension","id":"ext_tagging"}]"#;
const CONFIGURED: &str = r#"[{"name":"google-auto-tagging","minConfidence":80,"maxTags":10}]"#;
const SHOES: &str =
    "[extensions.shoes]\nname = \"aws-auto-tagging\"\nminConfidence = 95\nmaxTags = 5\n";

#[test]
fn a_saved_extension_is_the_one_it_stands_for_by_id_and_by_name() {
    let env = env(["a", "b", "c", "d"]);
    let by_name = r#"[{"name":"saved-extension","id":"Product tagging"}]"#;
    env.write(
        "sheet.csv",
        extensions(&[("a", BY_ID), ("b", by_name), ("c", "Product tagging"), ("d", CONFIGURED)]),
    );
    let applied = env.apply("sheet.csv --max-units 6").exits(5);
    applied.output_contains("billed     3 google-auto-tagging (6 units)");
    let run = env.only_run("sheet");
    for row in [2, 3, 4] {
        assert_eq!(run.row(row)["extensionStatus.google-auto-tagging"], "success");
    }
    assert_eq!(run.row(5)["code"], "budget");
    assert_eq!(env.sandbox.stats().calls.saved, 1, "the list is read once");
    // Charges are remembered by configuration, however it is named.
    env.write("again.csv", extensions(&[("a", CONFIGURED), ("d", BY_ID)]));
    env.apply("again.csv").exits(0);
    assert_eq!(env.only_run("again").row(2)["code"], "already_ran");
    assert_eq!(env.sandbox.stats().max_billed_runs_per_configuration, 1);
}

#[test]
fn saved_extensions_are_read_only_for_a_sheet_that_names_one() {
    let env = env(["a"]);
    env.write("sheet.csv", extensions(&[("a", CONFIGURED)]));
    env.apply("sheet.csv").exits(0);
    assert_eq!(env.sandbox.stats().calls.saved, 0);
}

#[test]
fn cells_that_name_no_extension_are_rejected_with_what_exists() {
    let env = env(["a"]);
    let twice =
        r#"["Product tagging",{"name":"google-auto-tagging","minConfidence":1,"maxTags":1}]"#;
    let field = r#"[{"name":"ai-tasks","tasks":[{"type":"select_metadata","instruction":"?","field":"colour"}]}]"#;
    let selections = r#"[{"name":"ai-tasks","tasks":[{"type":"select_metadata","instruction":"?","field":"color","max_selections":3}]}]"#;
    let value = r#"[{"name":"ai-tasks","tasks":[{"type":"yes_no","instruction":"?","on_yes":
        {"set_metadata":[{"field":"color","value":"pink"}]}}]}]"#;
    let sets = |field: &str, value: &str| {
        format!(
            r#"[{{"name":"ai-tasks","tasks":[{{"type":"yes_no","instruction":"?","on_yes":
            {{"set_metadata":[{{"field":"{field}","value":{value}}}]}}}}]}}]"#
        )
    };
    let mut cases = Cases::default();
    for (name, cell) in [
        ("id", r#"[{"name":"saved-extension","id":"ext_taging"}]"#),
        ("name", "Main color"),
        ("bare", "remove-bg"),
        ("twice", twice),
        ("field", field),
        ("selections", selections),
        ("value", value),
        ("decimals", &sets("price", r#""12,5""#)),
        ("yes", &sets("approved", r#""yes""#)),
        ("date", &sets("rights_until", r#""24.11.2026""#)),
        ("option", &sets("size", r#""30""#)),
        ("single", &sets("channels", r#""web""#)),
    ] {
        let file = format!("{name}.csv");
        env.write(&file, extensions(&[("a", cell)]));
        let checked = env.run(&format!("check {file}")).exits(1);
        let (_, message) = checked.out.split_once("  × ").expect("the cell is invalid");
        cases.add(cell, message);
        env.apply(&file).exits(2);
    }
    env.write("all.csv", "fileId,tags\na,x\n");
    let flags = ["check", "all.csv", "--extensions", "remove-bg"];
    cases.add("--extensions remove-bg", env.command(&flags).run().exits(2));
    assert_text!(cases);
    assert_eq!(env.sandbox.stats().billed_units, 0);
}

#[test]
fn without_the_list_of_saved_extensions_nothing_is_sent() {
    let forbidden = script(vec![(1, status(403, "Your key has no access."))], files(["a"]));
    let env = TestEnv::new(working(forbidden));
    env.write("sheet.csv", extensions(&[("a", BY_ID)]));
    let refused = env.apply("sheet.csv").exits(2);
    let refused = refused.output_contains("cannot read the saved extensions of the account");
    refused.output_contains("nothing was sent");
    assert_eq!(env.sandbox.stats().billed_units, 0);
}

#[test]
fn a_saved_extension_that_changed_since_the_plan_is_not_run() {
    let env = env(["a"]);
    env.write("sheet.csv", extensions(&[("a", BY_ID)]));
    env.run("plan sheet.csv").exits(0).output_contains("google-auto-tagging 1 run (2 units)");
    let plan = env.only_run("sheet");
    let path = "/v1/saved-extensions/ext_tagging";
    patch(&env, path, &json!({"config": {"name": "remove-bg"}}));
    let apply = format!("apply --yes --plan {}", plan.name());
    let refused = env.run(&apply).exits(2);
    refused.output_contains("ext_tagging was changed or deleted since this was planned");
    assert_eq!(env.sandbox.stats().billed_units, 0);
    let config = json!({"name": "google-auto-tagging", "minConfidence": 80, "maxTags": 10});
    patch(&env, path, &json!({"config": config}));
    env.run(&apply).exits(0);
    assert_eq!(env.sandbox.stats().billed_units, 2);
}

#[test]
fn an_unfinished_run_of_a_changed_saved_extension_can_be_left() {
    let env = env(["a", "b"]);
    env.write("sheet.csv", extensions(&[("a", BY_ID), ("b", BY_ID)]));
    env.apply("sheet.csv --limit 1").exits(5);
    let run = env.only_run("sheet");
    let config = json!({"config": {"name": "aws-auto-tagging", "minConfidence": 80, "maxTags": 1}});
    patch(&env, "/v1/saved-extensions/ext_tagging", &config);
    let resume = format!("resume --yes {} --rate unlimited", run.name());
    env.run(&resume).exits(2).output_contains("`ikbulk undo RUN`");
    env.apply("sheet.csv").exits(2).output_contains("there is an unfinished run");
    // The run has only extensions, which no undo can revert.
    env.run(&format!("undo --yes {} --rate unlimited", run.name())).exits(0);
    env.apply("sheet.csv").exits(0);
    assert_eq!(env.sandbox.stats().billed_runs_of("b", "aws-auto-tagging"), 1);
}

#[test]
fn presets_are_used_by_name_and_for_all_rows_that_have_none() {
    let env = env(["a", "b", "c", "d"]);
    env.write("ikbulk.toml", SHOES);
    env.write(
        "sheet.csv",
        extensions(&[
            ("a", "shoes"),
            ("b", r#"["shoes",{"name":"remove-bg"}]"#),
            ("c", "[]"),
            ("d", ""),
        ]),
    );
    env.apply("sheet.csv --extensions shoes").exits(0);
    let runs = |id: &str| env.sandbox.stats().billed_runs_of(id, "aws-auto-tagging");
    assert_eq!(["a", "b", "c", "d"].map(runs), [1, 1, 0, 1]);
    assert_eq!(env.sandbox.stats().billed_units, 3 + 130);
    assert_eq!(env.sandbox.stats().calls.saved, 0, "a preset needs no list");
    // A saved extension can be one for all rows, too, and a sheet of ids is enough.
    env.write("ids.csv", "fileId\na\nb\n");
    env.apply("ids.csv --extensions ext_tagging").exits(0);
    assert_eq!(env.only_run("ids").count("updated"), 2);
}

#[test]
fn resume_reads_presets_as_the_run_began() {
    let env = env(["a", "b"]);
    env.write("ikbulk.toml", SHOES);
    env.write("ids.csv", "fileId\na\nb\n");
    env.apply("ids.csv --extensions shoes --max-units 1").exits(5);
    env.write("ikbulk.toml", "[extensions.shoes]\nname = \"remove-bg\"\n");
    let run = env.only_run("ids");
    env.run(&format!("resume {} --yes --max-units 2", run.name())).exits(0);
    assert_eq!(env.sandbox.stats().billed_runs["aws-auto-tagging"], 2);
}

#[test]
fn a_preset_that_breaks_a_rule_names_its_file_and_key() {
    let env = env(["a"]);
    env.write("sheet.csv", extensions(&[("a", "shoes")]));
    let mut cases = Cases::default();
    for preset in [
        "[extensions.shoes]\nname = \"aws-auto-tagging\"\nminConfidence = 950\nmaxTags = 5\n",
        "[extensions.shoes]\nname = \"remove-background\"\n",
        "[extensions.\"a,b\"]\nname = \"remove-bg\"\n",
        "extensions.shoes = []\n",
        "[[extensions.shoes]]\nname = \"remove-bg\"\n[[extensions.shoes]]\nname = \"remove-bg\"\n",
    ] {
        env.write("ikbulk.toml", preset);
        cases.add(preset, env.run("check sheet.csv").exits(2));
    }
    env.write("ikbulk.toml", "");
    cases.add("for all", env.apply("sheet.csv --extensions shoe").exits(2));
    assert_text!(cases);
}
