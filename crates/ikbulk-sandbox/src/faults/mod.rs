//! Faults to inject, and their form on the command line.

pub(crate) mod fault;
pub(crate) mod spec;
