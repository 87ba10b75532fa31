//! The same expectations of ImageKit, held against the sandbox in every test run, and against a
//! real account where somebody asks for it:
//!
//! ```text
//! IKBULK_LIVE_KEY=private_… IKBULK_LIVE_FOLDER=/throwaway cargo test --test live -- --nocapture
//! ```
//!
//! The folder must hold at least three files. Their tags, descriptions and important areas are
//! changed and cleared; no extension is run, and nothing is published. What ImageKit's description
//! leaves open is not expected but printed.

#![expect(clippy::print_stderr, reason = "what is open is told to whoever runs it")]

use std::process::Command;

use ikbulk::sandbox::{self, Config, Library};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

const FOLDER: &str = "/throwaway";

/// The far end: a sandbox or an account.
struct FarEnd {
    base: String,
    key: String,
    folder: String,
    client: reqwest::Client,
}

struct Answer {
    status: StatusCode,
    has_limits: bool,
    body: Value,
}

impl FarEnd {
    fn new(base: &str, key: &str, folder: &str) -> Self {
        let client = reqwest::Client::new();
        Self { base: base.to_owned(), key: key.to_owned(), folder: folder.to_owned(), client }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = self.client.request(method, format!("{}{path}", self.base));
        let request = request.basic_auth(&self.key, Some(""));
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string()),
            None => request,
        };
        let response = request.send().await.expect("the far end answers");
        let headers = response.headers();
        assert!(headers.contains_key("x-ik-requestid"), "every answer has a request id");
        let has_limits = headers.contains_key("x-ratelimit-limit");
        let status = response.status();
        let text = response.text().await.expect("the answer comes whole");
        Answer { status, has_limits, body: serde_json::from_str(&text).unwrap_or(Value::Null) }
    }

    async fn file(&self, id: &str) -> Value {
        let answer = self.ask(Method::GET, &format!("/v1/files/{id}/details"), None).await;
        assert_eq!(answer.status, StatusCode::OK);
        answer.body
    }

    async fn patch(&self, id: &str, body: Value) -> Answer {
        self.ask(Method::PATCH, &format!("/v1/files/{id}/details"), Some(body)).await
    }

    /// Three files of the folder.
    async fn files(&self) -> [String; 3] {
        let path = format!("/v1/files?limit=3&sort=ASC_CREATED&type=file&path={}", self.folder);
        let answer = self.ask(Method::GET, &path, None).await;
        let files = answer.body.as_array().expect("a list is a bare array").iter();
        let ids: Vec<String> =
            files.filter_map(|file| file["fileId"].as_str().map(str::to_owned)).collect();
        ids.try_into().expect("the folder holds at least three files")
    }

    /// Applies a sheet with the program; gives its exit code and its report.
    fn apply(&self, sheet: &str) -> (Option<i32>, String) {
        let directory = TempDir::new().expect("a directory can be made");
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("sheet.csv"), sheet).expect("the directory takes files");
        let status = Command::new(env!("CARGO_BIN_EXE_ikbulk"))
            .args(["-q", "apply", "sheet.csv", "--yes", "--run-dir", "run", "--no-schema"])
            .env("IMAGEKIT_PRIVATE_KEY", &self.key)
            .env("IMAGE_KIT_BASE_URL", &self.base)
            .env("XDG_STATE_HOME", path("state"))
            .current_dir(directory.path())
            .status();
        let report = std::fs::read_to_string(path("run/report.csv")).unwrap_or_default();
        (status.expect("the program starts").code(), report)
    }
}

/// What must be so at every far end.
async fn expectations(far: &FarEnd) {
    let [one, two, three] = far.files().await;
    let (code, report) = far.apply(&format!(
        "fileId,tags,description,customCoordinates\n\
         {one},\"ikbulk-a,ikbulk-b\",written by a test,\"0,0,1,1\"\n\
         {two},ikbulk-c,another,\n\
         {three},ikbulk-d,,\n"
    ));
    assert_eq!(code, Some(0), "{report}");
    let file = far.file(&one).await;
    assert_eq!(file["tags"], json!(["ikbulk-a", "ikbulk-b"]));
    assert_eq!(file["description"], "written by a test");
    assert_eq!(file["customCoordinates"], "0,0,1,1");

    let (code, report) = far.apply(&format!(
        "fileId,addTags,removeTags\n{one},ikbulk-e,ikbulk-a\n{two},ikbulk-e,\n{three},,ikbulk-d\n"
    ));
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(far.file(&one).await["tags"], json!(["ikbulk-b", "ikbulk-e"]));
    assert_eq!(far.file(&two).await["tags"], json!(["ikbulk-c", "ikbulk-e"]));
    assert_eq!(far.file(&three).await["tags"], Value::Null, "no tags are null");

    let (code, report) = far.apply(&format!(
        "fileId,tags,customCoordinates\n{one},<clear>,<clear>\n{two},<clear>,\nnosuchfile,<clear>,\n"
    ));
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("nosuchfile,rejected,not_found,"), "{report}");
    let file = far.file(&one).await;
    assert_eq!((&file["tags"], &file["customCoordinates"]), (&Value::Null, &Value::Null));

    let wrong = far.patch(&one, json!({"tags": ["100%"]})).await;
    eprintln!("a tag with % in a PATCH: {}", wrong.status);
    let missing = json!({"fileIds": [two, "nosuchfile"], "tags": ["ikbulk-f"]});
    let missing = far.ask(Method::POST, "/v1/files/addTags", Some(missing)).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert_eq!(far.file(&two).await["tags"], Value::Null, "all or nothing");
    eprintln!("a bulk 404 names the missing files: {}", missing.body["missingFileIds"].is_array());
    open_questions(far, &one).await;
}

/// What ImageKit's description leaves open, as this far end answers it.
async fn open_questions(far: &FarEnd, file: &str) {
    far.patch(file, json!({"tags": ["ikbulk-g"], "description": "text"})).await;
    let empty = far.patch(file, json!({"tags": []})).await;
    eprintln!("tags [] gives {} and leaves {}", empty.status, far.file(file).await["tags"]);
    let empty = far.patch(file, json!({"description": ""})).await;
    eprintln!("description \"\" gives {}, {}", empty.status, far.file(file).await["description"]);
    eprintln!("a 200 has X-RateLimit headers: {}", empty.has_limits);
    far.patch(file, json!({"tags": ["ikbulk-h"]})).await;
    let query = format!("/v1/files?searchQuery=id%20IN%20%5B%22{file}%22%5D");
    let found = far.ask(Method::GET, &query, None).await;
    eprintln!("a search right after the write sees {}", found.body[0]["tags"]);
    far.patch(file, json!({"tags": null, "description": ""})).await;
}

#[tokio::test]
async fn the_sandbox_keeps_them() {
    let mut library = Library::new();
    for n in 1..=3 {
        library.insert(json!({
            "fileId": format!("live{n}"), "filePath": format!("{FOLDER}/{n}.jpg"),
            "createdAt": format!("2026-01-0{n}T00:00:00.000Z"),
        }));
    }
    let config = Config { library, writes: Vec::new(), reads: Vec::new(), ..Config::default() };
    let sandbox = sandbox::start(config).expect("the sandbox should start");
    expectations(&FarEnd::new(&sandbox.base_url(), sandbox.key(), FOLDER)).await;
}

#[tokio::test]
async fn a_real_account_keeps_them() {
    let Ok(key) = std::env::var("IKBULK_LIVE_KEY") else {
        eprintln!("NOT TESTED: IKBULK_LIVE_KEY is not set");
        return;
    };
    let folder = std::env::var("IKBULK_LIVE_FOLDER").expect("IKBULK_LIVE_FOLDER names a folder");
    let base = std::env::var("IMAGE_KIT_BASE_URL");
    let base = base.unwrap_or_else(|_| "https://api.imagekit.io".to_owned());
    expectations(&FarEnd::new(&base, &key, &folder)).await;
}
