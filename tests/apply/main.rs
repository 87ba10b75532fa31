//! The commands as a person meets them: the real binary, a sheet, and an ImageKit that behaves or
//! does not.

mod bulk;
mod export;
mod faults;
mod feedback;
mod harness;
mod inputs;
mod journeys;
mod safety;
mod settings;
mod words;
