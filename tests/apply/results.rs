//! What extensions wrote is in the reports.

use ikbulk_sandbox::{Config, ExtensionOutcome, FoundTags, Library, Status};
use serde_json::json;

use crate::harness::{Cases, TestEnv, assert_text, files, with_library};

const FILE: &str = "598821f949c0a938d57563bd";
const SHEET: &str = concat!(
    "fileId,extensions\n",
    "598821f949c0a938d57563bd,",
    r#""[{""name"":""google-auto-tagging"",""maxTags"":5,""minConfidence"":95}]""#,
    "\n"
);

/// ImageKit with the tags of the example in its documentation of "Update file details".
fn example() -> TestEnv {
    let env = TestEnv::new(example_config());
    env.write("sheet.csv", SHEET);
    env
}

fn example_config() -> Config {
    let tags = [
        ("saree", 96.283_732_8),
        ("traditional clothing", 98.373_222_8),
        ("women's wear", 97.723_328_3),
        ("ethnic", 99.992_882_8),
    ];
    let found_tags = FoundTags {
        file_id: None,
        source: "google-auto-tagging".to_owned(),
        tags: tags.map(|(name, confidence)| (name.to_owned(), confidence)).to_vec(),
    };
    Config {
        found_tags: vec![found_tags],
        extensions: ExtensionOutcome::Always(Status::Success),
        ..files([FILE, "other"])
    }
}

#[test]
fn report_shows_the_tags_that_were_found() {
    let env = example();
    let mut cases = Cases::default();
    cases.add("ikbulk apply sheet.csv", env.apply("sheet.csv").exits(0));
    cases.add("report.csv", env.only_run("sheet").text("report.csv"));
    assert_text!(cases);
}

/// The example, whose file has had two of the tags before, one with another confidence.
fn tagged_example() -> TestEnv {
    let source = "google-auto-tagging";
    let had = |name: &str, confidence: f64| json!({"name": name, "confidence": confidence, "source": source});
    let file = json!({
        "fileId": FILE, "name": "a.jpg", "filePath": "/a.jpg", "description": "mine",
        "AITags": [had("saree", 96.283_732_8), had("ethnic", 95.5), had("old", 99.0)],
    });
    let tags = [("saree", 96.283_732_8), ("ethnic", 99.992_882_8), ("new", 98.0)];
    let found_tags = FoundTags {
        file_id: None,
        source: source.to_owned(),
        tags: tags.map(|(name, confidence)| (name.to_owned(), confidence)).to_vec(),
    };
    let mut library = Library::new();
    library.insert(file);
    let env = TestEnv::new(Config {
        found_tags: vec![found_tags],
        extensions: ExtensionOutcome::Always(Status::Success),
        ..with_library(library)
    });
    env.write("sheet.csv", SHEET);
    env
}

#[test]
fn tags_that_were_there_before_were_not_found() {
    let env = tagged_example();
    env.apply("sheet.csv --rerun-extensions").exits(0);
    let row = env.only_run("sheet").row(2);
    assert_eq!(row["aiTagConfidences"], "ethnic (99.9 %), new (98 %)");
    assert_eq!(row["aiTags"], "ethnic,new");
}

#[test]
fn tags_that_the_row_removed_first_were_found() {
    for removed in ["all", "saree"] {
        let env = tagged_example();
        let extensions = SHEET.lines().nth(1).unwrap();
        env.write("sheet.csv", format!("fileId,extensions,removeAITags\n{extensions},{removed}\n"));
        env.apply("sheet.csv").exits(0);
        assert_eq!(env.only_run("sheet").row(2)["aiTags"], "saree,ethnic,new", "{removed}");
    }
}

#[test]
fn found_tags_can_be_applied_as_tags() {
    let env = example();
    env.apply("sheet.csv").exits(0);
    let report = env.only_run("sheet").path().join("report.csv");
    std::fs::copy(report, env.path("found.csv")).expect("the report can be copied");
    env.apply("found.csv --map aiTags=addTags").exits(0);
    let tags = env.file(FILE)["tags"].to_string();
    for found in ["saree", "traditional clothing", "women's wear", "ethnic"] {
        assert!(tags.contains(&format!("{found:?}")), "{found}: {tags}");
    }
}

#[test]
fn only_the_mapped_column_of_a_report_is_read() {
    let tagging = r#"{"name":"google-auto-tagging","maxTags":5,"minConfidence":95}"#;
    let extensions = format!(r#"[{tagging},{{"name":"ai-auto-description"}}]"#);
    let fields = ["status", "code", "version"]
        .map(|name| json!({"id": name, "name": name, "label": name, "schema": {"type": "Text"}}));
    let mut library = Library::new();
    let file = json!({"fileId": FILE, "tags": null, "customMetadata": {"status": "mine"}});
    library.insert(file);
    let mut config = Config { library, ..example_config() };
    config.fields.extend(fields);
    let env = TestEnv::new(config);
    env.write("sheet.jsonl", format!("{{\"fileId\":\"{FILE}\",\"extensions\":{extensions}}}\n"));
    env.apply("sheet.jsonl").exits(0);
    let report = env.only_run("sheet").path().join("report.csv");
    std::fs::copy(report, env.path("found.csv")).expect("the report can be copied");
    // A person writes another description meanwhile.
    env.write("mine.csv", format!("fileId,description\n{FILE},mine\n"));
    env.apply("mine.csv").exits(0);
    env.apply("found.csv --map aiTags=addTags").exits(0);
    let file = env.file(FILE);
    assert_eq!(file["tags"].as_array().map(Vec::len), Some(4), "{file}");
    assert_eq!(
        (&file["description"], &file["customMetadata"]["status"]),
        (&json!("mine"), &json!("mine"))
    );
    // Without a mapping, a report changes nothing.
    env.apply("found.csv").exits(2).output_contains("no column changes anything");
}

#[test]
fn results_of_all_sessions_are_in_regenerated_reports() {
    let env = example();
    let both = SHEET.to_owned() + &SHEET.lines().nth(1).unwrap().replace(FILE, "other") + "\n";
    env.write("sheet.csv", both);
    env.apply("sheet.csv --limit 1").exits(5);
    let run = env.only_run("sheet");
    env.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(0);
    let report = run.text("report.csv");
    let confidences = "saree (96.3 %), traditional clothing (98.4 %), women's wear (97.7 %), \
                       ethnic (99.9 %)";
    for row in [2, 3] {
        assert_eq!(run.row(row)["aiTagConfidences"], confidences);
    }
    std::fs::remove_file(run.path().join("report.csv")).expect("it is there");
    env.run(&format!("report {}", run.name())).exits(0);
    assert_eq!(run.text("report.csv"), report);
}

#[test]
fn only_what_an_extension_of_the_row_wrote_is_shown() {
    let env = example();
    let extensions = r#"[{"name":"ai-auto-description"},{"name":"remove-bg"}]"#;
    env.write(
        "sheet.jsonl",
        format!(
            "{{\"fileId\":\"{FILE}\",\"extensions\":{extensions}}}\n\
             {{\"fileId\":\"other\",\"description\":\"mine\"}}\n"
        ),
    );
    env.apply("sheet.jsonl").exits(0);
    let run = env.only_run("sheet");
    let (described, plain) = (run.row(1), run.row(2));
    assert_eq!(described["description"], env.file(FILE)["description"].as_str().unwrap());
    assert_eq!(described["version"], env.file(FILE)["versionInfo"]["id"].as_str().unwrap());
    for column in ["aiTags", "aiTagConfidences", "description", "version"] {
        assert_eq!(plain[column], "", "{column}");
    }
    assert_eq!(described["aiTags"], "");
}
