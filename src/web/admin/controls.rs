//! What the floor above does for the admin API: it knows the data directory, the keys and the settings. Here are the words of it.

use std::fmt::Debug;
use std::pin::Pin;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::schema::described;
use crate::model::id::ObjectId;
use crate::web::problem::code::Code;

/// What takes a while.
pub type Errand<'a, T> = Pin<Box<dyn Future<Output = Result<T, ControlRefused>> + Send + 'a>>;

/// Why it was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlRefused {
    /// What kind of problem.
    pub code: Code,
    /// What to do about it. No secret is in it.
    pub detail: String,
}

impl ControlRefused {
    /// A refusal.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// On which condition a namespace is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// None was given.
    None,
    /// It is of one of these versions (`If-Match`).
    Is(Vec<String>),
    /// There is none of the name (`If-None-Match: *`).
    IsNew,
}

/// How a namespace is to change.
#[derive(Clone, Debug)]
pub enum NamespaceChange {
    /// To these rules; what is not said is as by default.
    To(Map<String, Value>),
    /// These of its rules; null is back to the default.
    In(Map<String, Value>),
    /// To nothing.
    Removed,
}

described! { answer
    /// A namespace, its rules and what it holds.
    pub struct NamespaceReport {
        /// Its name.
        pub name: String,
        /// Where it was declared: `api`, `file`, `flag`, or `built-in`.
        pub source: &'static str,
        /// The file and line, or the flag; null for what is built in.
        pub place: Option<String>,
        /// Whether the API may change it.
        pub is_changeable: bool,
        /// Whether the API has made one of this name, too, that does not count beside this.
        pub shadows: bool,
        /// Every rule, as the settings file writes it: in force, but for those of `pending_restart`, which are as they will be.
        pub rules: Map<String, Value>,
        /// Those of them that were said; the rest is by default.
        pub said: Vec<String>,
        /// Rules that take effect at the next start only.
        pub pending_restart: Vec<String>,
        /// Its version, for `If-Match`.
        pub etag: String,
    }

    /// A key, without the key.
    pub struct KeyReport {
        /// What it is revoked by.
        pub key_id: String,
        /// `good`, `expired` or `revoked`.
        pub status: &'static str,
        /// readonly, readwrite, vendor, viewer, operator or admin.
        pub role: &'static str,
        /// The namespaces it is for; `*` is all.
        pub namespaces: Vec<String>,
        /// What its object keys begin with.
        pub prefix: Option<String>,
        /// What somebody wanted to remember it by.
        pub label: Option<String>,
        /// RFC 3339.
        pub issued_at: String,
        /// RFC 3339; null: never.
        pub expires_at: Option<String>,
        /// Until when a rotated key is good beside the new one, RFC 3339.
        pub retires_at: Option<String>,
    }

    /// A new key. It is shown this once.
    pub struct NewKeyReport {
        /// The key.
        pub api_key: String,
        /// Of a readwrite key: the user name of its ingest credential.
        pub ingest_user: Option<String>,
        /// And the password to it.
        pub ingest_password: Option<String>,
        /// What is known of it.
        pub key: KeyReport,
        /// Of the namespaces it is for those that do not exist: it opens them when they are made.
        pub unknown_namespaces: Vec<String>,
    }

    /// A setting in force.
    pub struct SettingReport {
        /// Its name, with its sections before it.
        pub key: String,
        /// As the settings file writes it; what may be a secret is not shown.
        pub value: String,
        /// What it is when nothing is said; null for what there is no default of.
        pub default: Option<String>,
        /// The file and line, flag or variable that says so; null: nobody does.
        pub place: Option<String>,
        /// Whether a running server takes a change up.
        pub is_live: bool,
    }

    /// What a reload has changed.
    pub struct ReloadReport {
        /// Each setting that differs.
        pub changes: Vec<ChangeReport>,
    }

    /// What was found about a stream.
    pub struct DoctorReport {
        /// Whether no step failed.
        pub healthy: bool,
        /// Steps with something that had better be changed.
        pub warnings: u64,
        /// Steps that failed.
        pub failures: u64,
        /// Each step, in order.
        pub steps: Vec<DoctorStep>,
    }

    /// One step.
    pub struct DoctorStep {
        /// Which it is.
        pub step: String,
        /// The playlists or segments that it is about.
        pub about: Vec<String>,
        /// ok, warning or failure.
        pub verdict: String,
        /// What was found.
        pub finding: String,
        /// What to do about it.
        pub advice: Option<String>,
    }

    /// A setting that differs.
    pub struct ChangeReport {
        /// Its name.
        pub key: String,
        /// What it was.
        pub from: Option<String>,
        /// What it is.
        pub to: Option<String>,
        /// Whether it is in force; else it waits for the next start.
        pub is_live: bool,
    }
}

described! { order
    /// What a new key is to be.
    pub struct KeyOrder {
        /// The namespaces it is for; `*` is all. May be left out for viewer, operator and admin.
        pub namespaces: Option<Vec<String>>,
        /// readonly, readwrite, vendor, viewer, operator or admin.
        pub role: String,
        /// Only object keys that begin with this.
        pub prefix: Option<String>,
        /// Of a readonly key: it reads without a viewer's token where others need one.
        pub edge: Option<bool>,
        /// How long it is good: a duration like `30d`, or `never`; 30 days when it is not said.
        pub expires: Option<String>,
        /// What you want to remember it by.
        pub label: Option<String>,
    }

    /// How a key is replaced.
    pub struct RotateOrder {
        /// How long the old one is good beside the new one: a duration like `1h`, or `0s`.
        pub overlap: String,
    }

    /// Which stream is to be walked.
    pub struct DoctorOrder {
        /// The namespace.
        pub namespace: String,
        /// The key of its multivariant playlist, MPD or lone media playlist.
        pub key: String,
    }

    /// A settings file that may be tried.
    pub struct SettingsOrder {
        /// Its text.
        pub text: String,
    }
}

/// What looks after the server's own files and settings. Each change is on stable storage and in force when it is said to be done. Nothing
/// here waits for a disk on the thread that asks: that answers probes, too.
pub trait Controls: Debug + Send + Sync {
    /// Whether this is the ticket of a link that was printed on this server a moment ago. It is one no more then.
    fn take_ticket(&self, ticket: String) -> BoxFuture<'_, bool>;

    /// Writes down what somebody changed; it is on stable storage when this ends. No secret is in it.
    fn note(&self, line: Value) -> BoxFuture<'_, ()>;

    /// The last of these lines, newest first.
    fn noted(&self, limit: usize) -> BoxFuture<'_, Vec<Value>>;

    /// All namespaces, in the order of their names.
    fn namespaces(&self) -> Errand<'_, Vec<NamespaceReport>>;

    /// The rules of one of which nothing is said, as [`NamespaceReport::rules`] has them.
    fn default_rules(&self) -> Map<String, Value>;

    /// Makes, changes or removes one: how it was, and how it is now.
    fn change_namespace(
        &self,
        name: String,
        change: NamespaceChange,
        condition: Condition,
    ) -> Errand<'_, (Option<NamespaceReport>, Option<NamespaceReport>)>;

    /// Refuses what [`Self::change_namespace`] would refuse of a removal, and changes nothing: for who takes away before it what nobody can bring
    /// back.
    fn may_remove_namespace(&self, name: String, condition: Condition) -> Errand<'_, ()>;

    /// All keys on record, oldest first.
    fn keys(&self) -> Errand<'_, Vec<KeyReport>>;

    /// Makes one. Which namespaces there are is not known here.
    fn make_key(&self, order: KeyOrder) -> Errand<'_, NewKeyReport>;

    /// Ends one.
    fn revoke_key(&self, key_id: String) -> Errand<'_, KeyReport>;

    /// Makes another like it, and ends it a while later.
    fn rotate_key(&self, key_id: String, order: RotateOrder) -> Errand<'_, NewKeyReport>;

    /// The settings in force.
    fn settings(&self) -> Errand<'_, Vec<SettingReport>>;

    /// What is wrong with a settings file's text, each fault with its line.
    fn check_settings(&self, text: String) -> Vec<String>;

    /// Reads the settings again.
    fn reload(&self) -> Errand<'_, ReloadReport>;

    /// Walks a stream of this server.
    fn examine(&self, object: ObjectId, prefix: Option<String>) -> Errand<'_, DoctorReport>;

    /// Begins to end the server, as SIGTERM does.
    fn drain(&self);
}
