//! Asks a person about columns whose names are nearly known ones.

use super::error::Error;
use super::ui::{Question, Ui};
use crate::input::{Context, Input, NearlyKnown};

/// Asks about each column whose name is nearly a known one, and notes the answers in the options of
/// the input. Without a person to ask, the sheet is refused when it is read.
pub(super) async fn ask_about_columns<U: Ui>(
    input: &mut Input,
    context: &Context,
    prompt: Option<&U>,
) -> Result<(), Error> {
    let Some(ui) = prompt else { return Ok(()) };
    let nearly = input.nearly_known(context)?.into_iter();
    // A name in <> stands for several columns.
    for NearlyKnown { name, column } in nearly.filter(|it| !it.column.contains('<')) {
        if ui.ask(Question::ReadColumn { name: &name, column: &column }).await {
            input.options.columns.insert(name, column);
        } else {
            input.options.ignored.push(name);
        }
    }
    Ok(())
}
