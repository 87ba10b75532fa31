//! The baseline for benchmarks: a plain loop with reqwest and csv. Reads rows of
//! `fileId,tags,description`, sends one PATCH per row with 64 in flight, and counts the responses.
//! No validation, ledger, retries or report.
//!
//! `yardstick FILE BASE_URL [current_thread | multi_thread]`, with the key in `IMAGEKIT_PRIVATE_KEY`.
//! `yardstick FILE read` only reads the sheet: with the csv crate's serde loop, or a workbook with
//! calamine's loop over cells. `yardstick FILE write ROWS` writes such a workbook.
#![expect(clippy::print_stdout, reason = "a standalone program")]

use calamine::{Reader as _, Xlsx};
use futures_util::{StreamExt, stream};
use rust_xlsxwriter::{Workbook, XlsxError};
use serde::Deserialize;
use serde_json::json;

const CONCURRENCY: usize = 64;

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "fileId")]
    file_id: String,
    tags: String,
    description: String,
}

async fn patch(client: &reqwest::Client, base: &str, key: &str, row: Row) -> reqwest::Result<bool> {
    let tags: Vec<&str> = row.tags.split(',').collect();
    let body = json!({ "tags": tags, "description": row.description }).to_string();
    let response = client
        .patch(format!("{base}/v1/files/{}/details", row.file_id))
        .basic_auth(key, Some(""))
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await?;
    let accepted = response.status().is_success();
    response.bytes().await?;
    Ok(accepted)
}

async fn run(file: String, base: String, key: String) -> Result<(), Box<dyn std::error::Error>> {
    let client = reqwest::Client::new();
    let mut reader = csv::Reader::from_path(file)?;
    let mut responses = stream::iter(reader.deserialize::<Row>())
        .map(|row| async {
            Ok::<_, Box<dyn std::error::Error>>(patch(&client, &base, &key, row?).await?)
        })
        .buffer_unordered(CONCURRENCY);
    let (mut accepted, mut rejected) = (0_u64, 0_u64);
    while let Some(was_accepted) = responses.next().await {
        if was_accepted? { accepted += 1 } else { rejected += 1 }
    }
    println!("{accepted} accepted, {rejected} rejected");
    Ok(())
}

/// The number of cells of the first worksheet.
fn cells(file: &str) -> Result<u64, Box<dyn std::error::Error>> {
    let mut workbook: Xlsx<_> = calamine::open_workbook(file)?;
    let name = workbook.sheet_names().first().cloned().ok_or("no worksheet")?;
    let mut cells = workbook.worksheet_cells_reader(&name)?;
    let mut count = 0;
    while let Some(cell) = cells.next_cell()? {
        count += u64::from(*cell.get_value() != calamine::DataRef::Empty);
    }
    Ok(count)
}

/// Writes rows of ids, tags, a description and a number, as a spreadsheet program does.
fn write_workbook(file: &str, rows: u32) -> Result<(), XlsxError> {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    for (column, name) in (0..).zip(["fileId", "tags", "description", "customMetadata.price"]) {
        sheet.write_string(0, column, name)?;
    }
    for row in 1..=rows {
        sheet.write_string(row, 0, format!("{:024x}", u128::from(row) << 32 | 0x65a1))?;
        sheet.write_string(row, 1, "red,sale,summer")?;
        sheet.write_string(row, 2, format!("A product description {row}"))?;
        sheet.write_number(row, 3, f64::from(row) / 100.0)?;
    }
    workbook.save(file)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: yardstick FILE BASE_URL [current_thread | multi_thread] | FILE read | FILE write ROWS";
    let (file, base) = (args.next().ok_or(usage)?, args.next().ok_or(usage)?);
    if base == "write" {
        return Ok(write_workbook(&file, args.next().ok_or(usage)?.parse()?)?);
    }
    if base == "read" && file.rsplit('.').next() == Some("xlsx") {
        println!("{} cells", cells(&file)?);
        return Ok(());
    }
    if base == "read" {
        let rows = csv::Reader::from_path(file)?.into_deserialize::<Row>().map(|row| row.is_ok());
        println!("{} rows", rows.filter(|good| *good).count());
        return Ok(());
    }
    let key = std::env::var("IMAGEKIT_PRIVATE_KEY")?;
    let mut runtime = match args.next().as_deref() {
        Some("current_thread") => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    runtime.enable_all().build()?.block_on(run(file, base, key))
}
