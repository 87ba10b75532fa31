//! Laws of settling.

mod settling;
mod truth;
