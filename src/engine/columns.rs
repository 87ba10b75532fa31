//! Asks a person how a sheet is meant: its encoding, and columns whose names are nearly known ones.

use super::error::{Error, Refusal};
use super::ui::{Question, Ui};
use crate::input::{Context, EncodingGuess, Input, NearlyKnown, TextEncoding};

/// The encoding of an input that is not UTF-8, confirmed by a person; `None` if it is UTF-8.
pub(super) async fn confirmed_encoding<U: Ui>(
    guess: Option<EncodingGuess>,
    prompt: Option<&U>,
) -> Result<Option<TextEncoding>, Error> {
    let Some(guess) = guess else { return Ok(None) };
    if let Some(ui) = prompt
        && ui.ask(Question::ReadEncoding(&guess)).await
    {
        return Ok(Some(guess.encoding));
    }
    Err(Refusal::OtherEncoding(guess).into())
}

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
