//! The stamp on the data directory: which form its files have, and which version gave them that.
//!
//! Each kind of file says its own form; this says at the start, in one line, why some of them may not be read. It is a remark and no lock:
//! what an older version does not know it leaves alone, file by file. So a stamp that can't be read or written stops nothing.

use std::fs;

use serde::{Deserialize, Serialize};

use super::data_dir::DataDir;

/// The form of everything in the directory together: raised when any of it takes one that the version before does not read.
const FORM: u32 = 1;
/// Its name.
const NAME: &str = "format.json";

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FormatStamp {
    format: u32,
    written_by: String,
}

/// Leaves this version's stamp, unless a later one is there; that one is told in the log.
pub(super) fn leave(data: &DataDir) {
    let path = data.path().join(NAME);
    let found = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<FormatStamp>(&text).ok());
    match found {
        Some(FormatStamp { format, written_by }) if format > FORM => tracing::warn!(
            data_dir = %data.path().display(),
            format,
            written_by,
            "a newer Springhead has written here, in forms that this one may not read: what it does not know it leaves alone and \
             answers with 503; run the newer one again to serve all of it"
        ),
        Some(FormatStamp { format: FORM, .. }) => {}
        _ => {
            let stamp = FormatStamp { format: FORM, written_by: env!("CARGO_PKG_VERSION").to_owned() };
            let _ = fs::remove_file(&path);
            let text = serde_json::to_string(&stamp).unwrap_or_default();
            if let Err(error) = data.keep_new(&path, &format!("{text}\n")) {
                tracing::debug!(%error, "can't leave a stamp on the data directory");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_stamp_stays_and_any_other_becomes_ours() {
        let folder = tempfile::tempdir().unwrap();
        let (data, path) = (DataDir::new(folder.path()), folder.path().join(NAME));
        let read = || serde_json::from_slice::<FormatStamp>(&fs::read(&path).unwrap()).unwrap();
        for before in [None, Some("nothing of the kind"), Some("{\"format\": 0, \"written_by\": \"0.0.1\"}")] {
            if let Some(text) = before {
                fs::write(&path, text).unwrap();
            }
            leave(&data);
            assert_eq!(read(), FormatStamp { format: FORM, written_by: env!("CARGO_PKG_VERSION").to_owned() });
        }
        let later = "{\"format\": 2, \"written_by\": \"9.0.0\", \"more\": [1]}";
        fs::write(&path, later).unwrap();
        leave(&data);
        assert_eq!(fs::read_to_string(&path).unwrap(), later);
    }
}
