//! The kernel settings that limit a load of short connections: what they are, how they are set
//! here, and how to change them for a while.
//!
//! The TOML files in `kernel-tuning/` are the single source. The binary embeds them
//! ([`catalogue`]): what `ringshot tune` shows, applies and reverts ([`apply`]) comes
//! from them, and so do the cures that other parts of the program name ([`cure`]). The files to
//! copy to `/etc` are generated from them by a test, which holds both together.
//!
//! ```text
//!                          Knob --- plan ---> Change { name, old, new }
//!   kernel-tuning/*.toml -^                      | saved first, to STATE_DIR/tune.json
//!                                                v
//!                                      /proc/sys (write, read back)
//! ```
//!
//! The values to restore come from a file. That file is trusted only where only root could have
//! written it ([`trust`]), and only for settings that the catalogue has.

pub(crate) mod apply;
pub(crate) mod catalogue;
pub mod cure;
pub(crate) mod obsolete;
pub(crate) mod state;
pub(crate) mod trust;

#[cfg(test)]
mod files;
