//! Values for unit tests.

use super::{Builder, Cell, Content, Extensions, Field, Rules};

/// Extensions parsed from a cell with these configurations.
pub(crate) fn extensions(configs: &[&str]) -> Extensions {
    extensions_in(&format!("[{}]", configs.join(",")))
}

/// The extensions of a cell.
pub(crate) fn extensions_in(cell: &str) -> Extensions {
    let rules = Rules::default();
    let mut builder = Builder::new(&rules);
    builder.set("fileId", &Field::FileId, Cell::Text("a"));
    builder.set("extensions", &Field::Extensions, Cell::Text(cell));
    let Content::Update(update) = builder.finish() else { panic!("{cell} is not allowed") };
    update.change.extensions.expect("there are some")
}
