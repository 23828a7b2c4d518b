//! The flags of `ringshot tune`.

use crate::tuning::state;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Shows the kernel settings that limit short connections, applies better ones, and reverts them.
///
/// Only `apply` and `revert` change anything, as root, and they print every change. A restart
/// undoes what was applied; to make settings permanent, use the files in kernel-tuning/.
#[derive(Clone, Debug, Args)]
pub struct TuneArgs {
    /// What to do [default: show]
    #[command(subcommand)]
    pub action: Option<Action>,

    /// Where the old values are kept while others are applied
    #[arg(long, global = true, value_name = "DIR", default_value = state::DIRECTORY)]
    pub state_dir: PathBuf,
}

/// What `tune` is to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Action {
    /// Show the settings, the recommended values, what is applied, and unhelpful lines in sysctl
    /// files
    Show {
        /// Which knobs.
        #[command(flatten)]
        selection: Selection,

        /// Show reason, rule, risk and kernel versions of each setting
        #[arg(long)]
        explain: bool,
    },
    /// Set everything that differs, or nothing; the old values are saved first (needs root)
    Apply {
        /// Which knobs.
        #[command(flatten)]
        selection: Selection,
    },
    /// Restore exactly what `apply` found (needs root)
    Revert {
        /// Only remove the record, and change no setting: for use after a restart, or when the
        /// network namespace no longer exists; refused while the settings are in force here
        #[arg(long)]
        forget: bool,
    },
}

/// Which knobs are meant.
#[derive(Clone, Debug, Default, Args)]
pub struct Selection {
    /// This machine's role in the test; `client` and `server` include the settings of the host
    #[arg(long, value_enum, default_value_t)]
    pub role: Profile,

    /// Only this setting, whatever its role; may be repeated
    #[arg(long = "knob", value_name = "NAME")]
    pub knobs: Vec<String>,
}

/// The machine's role in the test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// It opens the connections.
    #[default]
    Client,
    /// It accepts the connections.
    Server,
    /// Only what concerns the machine as a whole.
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
