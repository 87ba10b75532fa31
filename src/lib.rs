//! Lib
pub mod cli;
pub mod error;
pub mod execute;
pub mod imagekit;
pub mod input;
pub mod ledger;
pub mod outcome;
pub mod plan;
pub mod report;
pub mod request;
pub mod row;
pub mod run;
pub mod sandbox;
pub mod settings;
