//! Where a command finds keys and settings, as `serve` does.

use std::path::{Path, PathBuf};

use super::Failure;
use super::args::{ArgMatches, Args, ValueSource};
use super::settings::{Given, Loaded, Overrides, SettingFaults, Settings};

/// Where keys are kept: as for `serve`, so that both find the same ones.
#[derive(Debug, Default, Args)]
pub(super) struct PlaceArgs {
    /// Settings file that names the data directory.
    #[arg(long, env = "SPRINGHEAD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory with the signing keys and key records.
    #[arg(long, env = "SPRINGHEAD_DATA_DIR", value_name = "DIR")]
    data_dir: Option<String>,
}

impl PlaceArgs {
    pub(super) fn load(self, matches: &ArgMatches) -> Result<Settings, Failure> {
        let data_dir = self.data_dir.map(|value| named(matches, "data_dir", value));
        load(self.config.as_deref(), &Overrides { data_dir, ..Overrides::default() })
    }
}

/// Reads settings.
pub(super) fn load(path: Option<&Path>, overrides: &Overrides) -> Result<Settings, Failure> {
    load_all(path, overrides, None).map(|loaded| loaded.settings)
}

/// The same, with where each was said; `made_in`: the data directory that a running server has.
pub(super) fn load_all(path: Option<&Path>, overrides: &Overrides, made_in: Option<&Path>) -> Result<Loaded, Failure> {
    Settings::load_all(path, overrides, made_in).map_err(SettingFaults::into_failure)
}

/// Reads a settings file as if there were nothing beside it.
pub(super) fn load_alone(path: &Path) -> Result<Settings, Failure> {
    Settings::load_alone(path).map_err(|faults| Failure::Usage(faults.to_string()))
}

/// The name under which a value was given: the flag's or the variable's.
pub(super) fn named(matches: &ArgMatches, id: &str, value: String) -> Given {
    let words = id.replace('_', "-");
    let name = match matches.value_source(id) {
        Some(ValueSource::EnvVariable) => format!("SPRINGHEAD_{}", id.to_uppercase()),
        _ => format!("--{words}"),
    };
    Given { name, value }
}
