//! The ground under all rooms: what has no meaning of its own above it.

mod refusal;

pub use refusal::UsageError;
