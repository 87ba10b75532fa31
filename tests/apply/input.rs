//! What is read, what is refused, and that nothing is sent of what is refused.

use serde_json::json;

use crate::harness::{World, files};

/// Nothing at all came through.
#[track_caller]
fn untouched(world: &World, sheet: &str) {
    assert_eq!(world.sandbox.stats().requests, 0, "a request was sent");
    assert!(world.runs(sheet).is_empty(), "a run was left behind");
}

#[test]
fn every_column_of_a_csv_reaches_the_file() {
    let world = World::new(files(["a", "b"]));
    world.write(
        "sheet.csv",
        "\u{feff}fileId,tags,description,customCoordinates,customMetadata.Brand,customMetadata.price,customMetadata.channels,isPublished\r\n\
         a,\"red, blue,red\",\"two\nlines, and \"\"quotes\"\"\",\"1, 2,3,4\",Acme,12.50,\"web,2024\",false\r\n\
         b,\"[\"\"a, b\"\"]\",,,,,,\r\n",
    );
    world.apply("sheet.csv").exits(0);
    let a = world.file("a");
    assert_eq!(a["tags"], json!(["red", "blue"]));
    assert_eq!(a["description"], json!("two\nlines, and \"quotes\""));
    assert_eq!(a["customCoordinates"], json!("1,2,3,4"));
    assert_eq!(a["customMetadata"]["brand"], json!("Acme"));
    assert_eq!(a["customMetadata"]["price"], json!(12.5));
    assert_eq!(a["customMetadata"]["channels"], json!(["web", 2024]));
    assert_eq!(a["isPublished"], json!(false));
    assert_eq!(world.file("b")["tags"], json!(["a, b"]));
}

#[test]
fn the_same_changes_as_jsonl_lead_to_the_same_files() {
    let sheet = "fileId,tags,addTags,removeAITags,description,customMetadata.price,customCoordinates\n\
                 a,\"x,y\",,all,text,5,\"1,1,2,2\"\nb,,z,,,,\nc,<clear>,,,<clear>,<clear>,<clear>\n";
    let lines = concat!(
        r#"{"fileId":"a","tags":["x","y"],"removeAITags":"all","description":"text","customMetadata":{"price":5},"customCoordinates":"1,1,2,2"}"#,
        "\n\n",
        r#"{"fileId":"b","addTags":["z"]}"#,
        "\n",
        r#"{"fileId":"c","tags":null,"description":null,"customMetadata":{"price":null},"customCoordinates":null}"#,
        "\n"
    );
    let library = |name: &str, text: &str| {
        let world = World::new(files(["a", "b", "c"]));
        world.write(name, text);
        world.apply(name).exits(0);
        ["a", "b", "c"].map(|id| {
            let mut file = world.file(id);
            file["updatedAt"] = json!(null);
            file["createdAt"] = json!(null);
            file["url"] = json!(null);
            file["thumbnail"] = json!(null);
            file
        })
    };
    assert_eq!(library("sheet.csv", sheet), library("sheet.jsonl", lines));
}

#[test]
fn standard_input_is_an_input_like_any_other() {
    let world = World::new(files(["a"]));
    let call = world.command(&["apply", "--yes", "-"]).input("fileId,tags\na,red\n");
    call.run().exits(0);
    assert_eq!(world.file("a")["tags"], json!(["red"]));
}

#[test]
fn a_sheet_that_was_cut_off_is_refused_whole() {
    let world = World::new(files(["a", "b"]));
    for (name, text, says) in [
        ("quote.csv", "fileId,tags\na,red\nb,\"blue", "a quote is never closed"),
        ("short.csv", "fileId,tags,description\na,red,x\nb,blue", "fewer cells than the header"),
        (
            "line.jsonl",
            "{\"fileId\":\"a\",\"tags\":[\"x\"]}\n{\"fileId\":\"b\",\"ta",
            "not a whole JSON object",
        ),
    ] {
        world.write(name, text);
        world.apply(name).exits(2).says(says).says("nothing is sent");
        world.run(&format!("check {name}")).exits(2).says(says);
        untouched(&world, name.split('.').next().unwrap());
    }
}

#[test]
fn a_sheet_without_rows_is_refused_unless_that_is_allowed() {
    let world = World::new(files(["a"]));
    world.write("sheet.csv", "fileId,tags\n");
    world.apply("sheet.csv").exits(2).says("no rows");
    untouched(&world, "sheet");
    world.apply("sheet.csv --allow-empty").exits(0);
}

#[test]
fn headers_that_would_lose_a_column_are_refused_with_what_to_do() {
    let world = World::new(files(["a"]));
    for (header, says) in [
        ("fileId;tags", "separated by semicolons"),
        ("id,tags", "no column fileId"),
        ("fileId,notes", "no column says what to change"),
        ("fileId,tag", "did you mean \"tags\"?"),
        ("fileId,tags,tags", "there twice"),
        ("fileId,customMetadata.colour", "no custom metadata field named \"colour\""),
    ] {
        world.write("sheet.csv", format!("{header}\na,b\n"));
        world.apply("sheet.csv").exits(2).says(says);
        assert!(world.runs("sheet").is_empty());
    }
    world.write("wide.csv", [0xFF, 0xFE, b'f', 0]);
    world.apply("wide.csv").exits(2).says("UTF-16");
    assert_eq!(world.sandbox.stats().calls.patch, 0);
}

#[test]
fn more_bad_rows_than_allowed_mean_that_nothing_is_sent_when_nobody_is_there_to_ask() {
    let world = World::new(files(["a", "b"]));
    world.write("sheet.csv", "fileId,tags\na,50%\nb,red\n");
    world.apply("sheet.csv").exits(2).says("1 of 2 rows are bad").says("row    2: tags: \"50%\"");
    untouched(&world, "sheet");
    world.apply("sheet.csv --max-bad 50%").exits(1);
    assert_eq!(world.only_run("sheet").statuses(), ["rejected", "updated"]);
}

#[test]
fn without_a_terminal_and_without_yes_nothing_is_sent() {
    let world = World::new(files(["a"]));
    world.write("sheet.csv", "fileId,tags\na,red\n");
    world.run("apply sheet.csv").exits(2).says("--yes");
    untouched(&world, "sheet");
}

#[test]
fn check_names_every_bad_cell_and_sends_nothing() {
    let world = World::new(files(["a"]));
    let google = r#"[{"name":"google-auto-tagging"}]"#.replace('"', "\"\"");
    world.write(
        "sheet.csv",
        format!(
            "fileId,tags,addTags,customCoordinates,extensions,isPublished,notes\n\
             a,red,,,,,fine\n\
             a,red,blue,,,,\n\
             ,red,,\"1,2,3\",,maybe,\n\
             a,#REF!,,,\"{google}\",,\n\
             ,,,,,,\n\
             fileId,tags,addTags,customCoordinates,extensions,isPublished,notes\n\
             a,red\n\
             a,green,,,,,\n"
        ),
    );
    let done = world.run("check sheet.csv").exits(1);
    insta::assert_snapshot!(done.out);
    assert_eq!(world.sandbox.stats().requests, 0);
}
