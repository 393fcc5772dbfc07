//! What there is on the admin listener: one table, which requests are matched by, whose roles the door obeys, and from which the
//! description of the API is made. What is not in it is not there.

use serde_json::Value;

use super::controls::{DoctorOrder, DoctorReport, KeyOrder, KeyReport, NewKeyReport, ReloadReport, RotateOrder, SettingsOrder};
use super::orders::{QueryWord, SCOPE};
use super::route::{Answers, Route, route};
use super::route_name::RouteName;
use super::schema::Described;
use super::visitor::Who;
use super::{about, changes, events, figures, harvest, objects, overview, pairs, session_words, viewers};
use crate::auth::grant::Role;

const LOOKS_ON: Who = Who::Local(Role::Viewer);
const OPERATES: Who = Who::Local(Role::Operator);
const ADMINISTERS: Who = Who::Only(Role::Admin);
/// What is more than a passer-by on loopback is told.
const SEES: Who = Who::Only(Role::Viewer);
const REMOVES: Who = Who::Only(Role::Operator);

const NAMESPACE: QueryWord = QueryWord::needed("namespace", "the namespace");
const STREAM: [QueryWord; 2] =
    [NAMESPACE, QueryWord::needed("key", "the key of its multivariant playlist, MPD or lone media playlist")];
const OBJECT: [QueryWord; 2] = [NAMESPACE, QueryWord::needed("key", "the object's key")];

/// All of it.
pub(super) const ROUTES: &[Route] = &[
    route(RouteName::Live, "GET", "/livez", Who::Everybody, "Whether the process runs.", Answers::Text("text/plain")),
    route(RouteName::Ready, "GET", "/readyz", Who::Everybody, "Whether it may get traffic.", Answers::Text("text/plain")),
    route(RouteName::Metrics, "GET", "/metrics", LOOKS_ON, "Figures for Prometheus.", Answers::Text("text/plain")),
    route(RouteName::About, "GET", "/v1", LOOKS_ON, "Which server this is.", Answers::Json(200, about::About::schema)),
    route(
        RouteName::Description,
        "GET",
        "/v1/openapi.json",
        LOOKS_ON,
        "This description.",
        Answers::Json(200, serde_json::Map::<String, Value>::schema),
    ),
    route(
        RouteName::WhoAmI,
        "GET",
        "/v1/session",
        Who::Everybody,
        "Who is signed in, by the cookie or the key that comes along.",
        Answers::Json(200, session_words::WhoAmI::schema),
    ),
    route(
        RouteName::SignIn,
        "POST",
        "/v1/session",
        Who::Everybody,
        "Signs in, with an API key or the ticket of a printed link; sets a cookie.",
        Answers::Nothing,
    )
    .takes(session_words::SignIn::schema),
    route(RouteName::SignOut, "DELETE", "/v1/session", Who::Everybody, "Signs out.", Answers::Nothing),
    route(
        RouteName::Streams,
        "GET",
        "/v1/streams",
        LOOKS_ON,
        "Every live stream and how it stands; by pages, where a limit is said.",
        Answers::Json(200, about::streams),
    )
    .query(&about::STREAM_WORDS),
    route(
        RouteName::Pairs,
        "GET",
        "/v1/pairs",
        LOOKS_ON,
        "Every public playlist with two sources and how these stand.",
        Answers::Json(200, pairs::schema),
    ),
    route(
        RouteName::PinSource,
        "POST",
        "/v1/pairs/pin",
        REMOVES,
        "Has viewers get one of two sources.",
        Answers::Json(200, serde_json::Map::<String, Value>::schema),
    )
    .takes(pairs::PinOrder::schema),
    route(
        RouteName::Clients,
        "GET",
        "/v1/ingest/clients",
        LOOKS_ON,
        "Encoders, and what each sent first.",
        Answers::Json(200, about::clients),
    )
    .query(&[SCOPE]),
    route(
        RouteName::Rejected,
        "GET",
        "/v1/ingest/rejected",
        LOOKS_ON,
        "What was refused lately, with what to do about it.",
        Answers::Json(200, about::rejected),
    )
    .query(&[SCOPE]),
    route(RouteName::Harvests, "GET", "/v1/harvest", LOOKS_ON, "The last recordings.", Answers::Json(200, harvest::list_schema))
        .query(&[SCOPE]),
    route(
        RouteName::OrderHarvest,
        "POST",
        "/v1/harvest",
        OPERATES,
        "Orders a recording.",
        Answers::Json(202, harvest::progress_schema),
    )
    .takes(harvest::order_schema)
    .once(),
    route(
        RouteName::Harvest,
        "GET",
        "/v1/harvest/{id}",
        LOOKS_ON,
        "How a recording stands.",
        Answers::Json(200, harvest::progress_schema),
    ),
    route(
        RouteName::CancelHarvest,
        "DELETE",
        "/v1/harvest/{id}",
        OPERATES,
        "Ends a recording; what it has copied stays.",
        Answers::Json(200, harvest::progress_schema),
    ),
    route(
        RouteName::RecordedFile,
        "GET",
        "/v1/harvest/{id}/files/{+name}",
        SEES,
        "A file of a recording in the server's own folder, for a player on a page of this listener.",
        Answers::Bytes,
    ),
    route(
        RouteName::RecordingArchive,
        "GET",
        "/v1/harvest/{id}/archive",
        SEES,
        "All files of a recording in the server's own folder, as a tar archive.",
        Answers::Bytes,
    ),
    route(
        RouteName::Examine,
        "POST",
        "/v1/doctor",
        REMOVES,
        "Walks a stream of this server as a player does, step by step, and says what is wrong.",
        Answers::Json(200, DoctorReport::schema),
    )
    .takes(DoctorOrder::schema),
    route(
        RouteName::Noted,
        "GET",
        "/v1/audit",
        ADMINISTERS,
        "Who changed what, newest first.",
        Answers::Json(200, about::AuditLines::schema),
    )
    .query(&[QueryWord::number("limit", "how many lines, 1 to 1000; 100 when it is not said"), SCOPE]),
    route(
        RouteName::Overview,
        "GET",
        "/v1/overview",
        LOOKS_ON,
        "What is wrong now, how the streams stand, and what each namespace holds.",
        Answers::Json(200, overview::overview_schema),
    )
    .query(&[SCOPE]),
    route(
        RouteName::Series,
        "GET",
        "/v1/series",
        LOOKS_ON,
        "The last quarter of an hour in figures, a sample each second; or more of the last day, one each minute.",
        Answers::Json(200, figures::series_schema),
    )
    .query(&[
        QueryWord::text("namespace", "of this one; of all together when it is not said"),
        QueryWord::text("last", "how much of the past, 1s to 24h; 15m when it is not said"),
        SCOPE,
    ]),
    route(RouteName::Stream, "GET", "/v1/stream", LOOKS_ON, "One stream.", Answers::Json(200, about::stream_schema))
        .query(&STREAM),
    route(
        RouteName::Timeline,
        "GET",
        "/v1/stream/timeline",
        LOOKS_ON,
        "The last segments of an HLS stream, each as it came.",
        Answers::Json(200, overview::timeline_schema),
    )
    .query(&STREAM),
    route(
        RouteName::Namespaces,
        "GET",
        "/v1/namespaces",
        SEES,
        "The namespaces, their rules, and what they hold.",
        Answers::Json(200, changes::namespaces_schema),
    ),
    route(
        RouteName::Namespace,
        "GET",
        "/v1/namespaces/{name}",
        SEES,
        "One of them.",
        Answers::Json(200, changes::namespace_schema),
    ),
    route(
        RouteName::PutNamespace,
        "PUT",
        "/v1/namespaces/{name}",
        ADMINISTERS,
        "Makes a namespace, or gives one other rules (If-Match): what is not said is as by default.",
        Answers::Json(200, changes::namespace_schema),
    )
    .takes(changes::rules_schema),
    route(
        RouteName::PatchNamespace,
        "PATCH",
        "/v1/namespaces/{name}",
        ADMINISTERS,
        "Changes some of its rules (If-Match); null is back to the default.",
        Answers::Json(200, changes::namespace_schema),
    )
    .takes(changes::rules_schema),
    route(
        RouteName::RemoveNamespace,
        "DELETE",
        "/v1/namespaces/{name}",
        ADMINISTERS,
        "Removes it, and what it holds in memory (If-Match).",
        Answers::Nothing,
    )
    .query(&[
        QueryWord::truth("force", "also while streams are live in it"),
        QueryWord::text(
            "objects",
            "purge: its objects in the durable tier go too; else they stay, for one of this name that comes back",
        ),
    ]),
    route(
        RouteName::MakeViewerTokens,
        "POST",
        "/v1/namespaces/{name}/viewer-tokens",
        Who::Vends,
        "Makes viewers' tokens; nothing is kept of them.",
        Answers::Json(201, serde_json::Map::<String, Value>::schema),
    )
    .takes(viewers::token_order_schema)
    .once(),
    route(
        RouteName::RevokeViewers,
        "POST",
        "/v1/namespaces/{name}/viewer-revocations",
        Who::Vends,
        "Ends viewers' tokens.",
        Answers::Json(201, serde_json::Map::<String, Value>::schema),
    )
    .takes(viewers::revocation_order_schema),
    route(
        RouteName::ViewerRevocations,
        "GET",
        "/v1/namespaces/{name}/viewer-revocations",
        Who::Vends,
        "Which viewers' tokens were ended, for edges to follow.",
        Answers::Json(200, viewers::feed_schema),
    )
    .query(&[QueryWord::text("since", "only those from this moment on, RFC 3339 or seconds since 1970")]),
    route(
        RouteName::Objects,
        "GET",
        "/v1/objects",
        SEES,
        "A page of what is stored, in memory and in the durable tier, in the order of keys.",
        Answers::Json(200, objects::list_schema),
    )
    .query(&[
        NAMESPACE,
        QueryWord::text("prefix", "what keys begin with"),
        QueryWord::text("delimiter", "a slash: what has one behind the prefix is a folder"),
        QueryWord::text("after", "the name behind which the page begins: next of the page before"),
        QueryWord::number("limit", "how many names, 1 to 1000; 200 when it is not said"),
    ]),
    route(
        RouteName::Object,
        "GET",
        "/v1/object",
        SEES,
        "What is known of one object.",
        Answers::Json(200, objects::object_schema),
    )
    .query(&OBJECT),
    route(RouteName::RemoveObject, "DELETE", "/v1/object", REMOVES, "Removes one object.", Answers::Nothing).query(&OBJECT),
    route(
        RouteName::Purge,
        "POST",
        "/v1/purge",
        REMOVES,
        "Removes all objects whose keys begin so, or counts them.",
        Answers::Json(200, objects::purged_schema),
    )
    .takes(objects::PurgeOrder::schema),
    route(
        RouteName::Preview,
        "GET",
        "/v1/preview/{namespace}/{+key}",
        SEES,
        "An object's bytes for a player on a page of this listener; never as a page or script.",
        Answers::Bytes,
    ),
    route(RouteName::Keys, "GET", "/v1/keys", ADMINISTERS, "The keys on record.", Answers::Json(200, changes::keys_schema)),
    route(
        RouteName::MakeKey,
        "POST",
        "/v1/keys",
        ADMINISTERS,
        "Makes a key; it is shown this once.",
        Answers::Json(201, NewKeyReport::schema),
    )
    .takes(KeyOrder::schema)
    .once(),
    route(RouteName::Key, "GET", "/v1/keys/{id}", ADMINISTERS, "One of them.", Answers::Json(200, KeyReport::schema)),
    route(
        RouteName::RevokeKey,
        "DELETE",
        "/v1/keys/{id}",
        ADMINISTERS,
        "Ends a key, within a second and for good.",
        Answers::Json(200, KeyReport::schema),
    ),
    route(
        RouteName::RotateKey,
        "POST",
        "/v1/keys/{id}/rotate",
        ADMINISTERS,
        "Makes another like it; the old one ends a while later.",
        Answers::Json(201, NewKeyReport::schema),
    )
    .takes(RotateOrder::schema)
    .once(),
    route(
        RouteName::Events,
        "GET",
        "/v1/events",
        LOOKS_ON,
        "What has happened to streams, newest first.",
        Answers::Json(200, events::list_schema),
    )
    .query(&events::WORDS),
    route(
        RouteName::Listen,
        "GET",
        "/v1/events/live",
        LOOKS_ON,
        "The same as it happens, as server-sent events; goes on behind Last-Event-ID.",
        Answers::Text("text/event-stream"),
    ),
    route(
        RouteName::Settings,
        "GET",
        "/v1/settings",
        ADMINISTERS,
        "The settings in force, and where each was said.",
        Answers::Json(200, changes::settings_schema),
    ),
    route(
        RouteName::CheckSettings,
        "POST",
        "/v1/settings/check",
        ADMINISTERS,
        "What is wrong with a settings file.",
        Answers::Json(200, changes::SettingFaultsReport::schema),
    )
    .takes(SettingsOrder::schema),
    route(
        RouteName::Reload,
        "POST",
        "/v1/reload",
        ADMINISTERS,
        "Reads the settings and signing keys again, as SIGHUP does.",
        Answers::Json(200, ReloadReport::schema),
    ),
    route(
        RouteName::Drain,
        "POST",
        "/v1/drain",
        ADMINISTERS,
        "Ends the server as SIGTERM does: requests in flight may end.",
        Answers::Nothing,
    ),
];
