//! Lists that are behind what was written: nothing is left out for that.

use std::time::Duration;

use ikbulk::sandbox::{Config, Library};
use serde_json::json;

use crate::harness::{World, ids, sheet, with_library};

#[test]
fn what_was_written_just_now_is_looked_at_by_itself() {
    let ids = ids(250);
    let mut library = Library::new();
    for id in &ids {
        library.insert(json!({"fileId": id, "filePath": format!("/{id}"), "tags": ["old"]}));
    }
    let lag = Duration::from_hours(1);
    let world = World::new(Config { search_lag: lag, ..with_library(library) });
    let written = &ids[100..105];
    world.write("new.csv", sheet("fileId,tags", written.iter().map(|id| format!("{id},new"))));
    world.run("live new.csv --yes --rate unlimited").exits(0);
    assert_eq!(world.file(&written[0])["tags"], json!(["new"]));
    // Searches still say that they are as they are to be again.
    world.write("old.csv", sheet("fileId,tags", ids.iter().map(|id| format!("{id},old"))));
    let said = world.run("live old.csv --yes --rate unlimited").exits(0);
    let said = said.says("250, 245 are so already");
    said.says("5 files were out of date there, so that each was read by itself");
    assert!(ids.iter().all(|id| world.file(id)["tags"] == json!(["old"])));
    let run = world.only_run("old");
    assert_eq!((run.count("updated"), run.count("unchanged")), (5, 245));
}
