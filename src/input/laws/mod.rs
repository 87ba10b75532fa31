//! Property tests of reading.

mod sheets;
