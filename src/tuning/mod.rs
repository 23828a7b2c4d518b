//! The knobs of the kernel that limit a load of short connections: what they are, what is set
//! here, and how to change them for a while.
//!
//! The TOML files in `kernel-tuning/` are the single source. The binary embeds them
//! ([`catalogue`]); the files to copy to `/etc` are generated from them ([`files`]), and so is
//! what `ringshot tune` shows ([`show`]), applies and reverts ([`apply`]). A test holds the
//! generated files and the catalogue together.
//!
//! ```text
//!                          Knob --- plan ---> Change { name, old, new }
//!   kernel-tuning/*.toml -^                      | saved first, to STATE_DIR/tune.json
//!                                                v
//!                                      /proc/sys (write, read back)
//! ```

pub mod apply;
pub mod catalogue;
pub mod command;
pub mod cure;
pub mod files;
pub mod obsolete;
pub mod show;
pub mod state;
pub mod system;

#[cfg(test)]
mod fake;
