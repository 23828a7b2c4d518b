//! The flags of `ringshot tune`.

use crate::tuning::state;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Shows the kernel settings that limit short connections, sets them for a while, puts them back.
///
/// Nothing changes but by `apply` and `revert`, as root, and every change is printed. What is
/// applied is gone after a restart; the files in kernel-tuning/ are for settings that shall stay.
#[derive(Clone, Debug, Args)]
pub struct TuneArgs {
    /// What to do; `show` if nothing is said.
    #[command(subcommand)]
    pub action: Option<Action>,

    /// Where the old values are kept while others are applied
    #[arg(long, global = true, value_name = "DIR", default_value = state::DIRECTORY)]
    pub state_dir: PathBuf,
}

/// What `tune` is to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Action {
    /// Show what is set, what would suit, what is applied, and unhelpful lines in sysctl files
    Show {
        /// Which knobs.
        #[command(flatten)]
        selection: Selection,

        /// Reason, rule, risk and kernels of each setting
        #[arg(long)]
        explain: bool,
    },
    /// Set what differs, all or nothing; the old values are saved first (needs root)
    Apply {
        /// Which knobs.
        #[command(flatten)]
        selection: Selection,
    },
    /// Put back exactly what `apply` found (needs root)
    Revert {
        /// Change no setting, only remove the record: after a restart, or when the network
        /// namespace no longer exists; refused while the settings are in force here
        #[arg(long)]
        forget: bool,
    },
}

/// Which knobs are meant.
#[derive(Clone, Debug, Default, Args)]
pub struct Selection {
    /// What this box is in the test; `client` and `server` include the settings of the host
    #[arg(long, value_enum, default_value_t)]
    pub role: Profile,

    /// Only this setting, whatever its role; may be repeated
    #[arg(long = "knob", value_name = "NAME")]
    pub knobs: Vec<String>,
}

/// What the box is in the test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// It opens the connections.
    #[default]
    Client,
    /// It accepts the connections.
    Server,
    /// Only what concerns the box as a whole.
    Host,
    /// Both sides of the test run here.
    All,
}

impl Profile {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Client => "client",
            Profile::Server => "server",
            Profile::Host => "host",
            Profile::All => "all",
        }
    }
}
