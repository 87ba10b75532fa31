//! What is known of accounts between runs, on one machine and for one of its users.

pub mod state_dir;
