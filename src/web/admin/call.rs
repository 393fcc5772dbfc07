//! A request that may be answered: what answers it, and who is told of a change.

use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::about::{self, About, AuditLines};
use super::changes::{self, Changed, NamespaceOrder};
use super::events::{self, REMEMBERED};
use super::figures::SampleStep;
use super::once::{IDEMPOTENCY_KEY, Whether};
use super::orders::{self, LONGEST, QueryWords};
use super::route::Route;
use super::route_name::RouteName;
use super::visitor::Visitor;
use super::{Admin, Inner, Rules, harvest, objects, ok, openapi, overview, pairs, recordings, session_words, text, viewers};
use crate::auth::grant::Role;
use crate::model::clock::WallTime;
use crate::model::id::Namespace;
use crate::model::units::parse_duration;
use crate::web::Web;
use crate::web::data::readiness;
use crate::web::exchange::Exchange;
use crate::web::problem::Problem;
use crate::web::problem::code::Code;

/// How many events, and how many lines of who changed what, are told when nothing is said.
pub(super) const EVENTS: usize = 200;
pub(super) const LINES: usize = 100;
/// How much of the past is told in figures, when nothing is said and at most.
const QUARTER: Duration = Duration::from_secs(15 * 60);
const DAY: Duration = Duration::from_secs(86_400);

/// A request that may be answered.
pub(super) struct AdminCall<'a> {
    pub(super) admin: &'a Admin,
    pub(super) exchange: &'a Exchange<'a>,
    pub(super) visitor: Visitor,
    pub(super) names: Vec<Cow<'a, str>>,
    pub(super) query: QueryWords,
}

impl AdminCall<'_> {
    /// Answers it; an order that was carried out before, as it was answered then.
    pub(super) async fn answer(&self, route: &Route, body: Body) -> Result<Response, Problem> {
        let Some(key) = self.exchange.parts.headers.get(IDEMPOTENCY_KEY).filter(|_| route.once) else {
            return self.carry_out(route, body).await;
        };
        let body = orders::bytes(body, LONGEST).await?;
        let who = self.visitor.grant().map_or(self.visitor.way(), |grant| grant.key_id.as_str());
        let what = format!("{} {}", route.method, self.exchange.parts.uri);
        match self.admin.inner.repeats.ask(key, who, &what, &body)? {
            Whether::Done(answer) => Ok(answer),
            Whether::Do(turn) => Ok(turn.end(self.carry_out(route, Body::from(body)).await?).await),
        }
    }

    async fn carry_out(&self, route: &Route, body: Body) -> Result<Response, Problem> {
        let Inner { web, is_local, rules, harvests, controls, begun, nodes, .. } = &*self.admin.inner;
        let (visitor, headers) = (&self.visitor, &self.exchange.parts.headers);
        Ok(match route.place {
            RouteName::Live => "alive\n".into_response(),
            RouteName::Ready => readiness(web),
            // They tell of all namespaces.
            RouteName::Metrics if !visitor.sees_all() => return Err(Problem::lacks_reach()),
            RouteName::Metrics => metrics(web, headers),
            RouteName::About => ok(&self.about_all(about(web, rules, *begun)).await),
            RouteName::Description => ok(openapi::document()),
            RouteName::WhoAmI => ok(&session_words::who_am_i(visitor, *is_local)),
            RouteName::SignIn => session_words::sign_in(self.admin, self.exchange, body).await?,
            RouteName::SignOut => session_words::sign_out(self.admin, self.exchange),
            RouteName::Streams => ok(&about::stream_page(web, visitor, &self.query)?),
            RouteName::Pairs => pairs::list(web, visitor),
            RouteName::PinSource => {
                let (response, after) = pairs::pin(web, visitor, headers, body).await?;
                self.note(route, &Value::Null, &after).await;
                response
            }
            RouteName::Clients if !visitor.sees_all() => return Err(Problem::lacks_reach()),
            RouteName::Clients if nodes.is_none() => text(web.inner.black_box.clients_json()),
            RouteName::Rejected if nodes.is_none() => {
                let rejected = web.inner.black_box.rejected_json(&web.inner.refused_readers, &web.inner.unread);
                text(about::seen(rejected, visitor))
            }
            RouteName::Clients
            | RouteName::Rejected
            | RouteName::Harvests
            | RouteName::Noted
            | RouteName::Overview
            | RouteName::Series
            | RouteName::Events => {
                let own = Self::own(self.admin, visitor, route.place, &self.query).await?.unwrap_or_default();
                ok(&self.of_all(route, own).await?)
            }
            RouteName::Harvest => harvest::find(&**harvests, visitor, self.name(0))?,
            RouteName::OrderHarvest => {
                let (response, progress) = harvest::order(&**harvests, visitor, headers, body).await?;
                self.note(route, &Value::Null, &progress).await;
                response
            }
            RouteName::CancelHarvest => {
                let (response, progress) = harvest::cancel(&**harvests, visitor, self.name(0))?;
                self.note(route, &Value::Null, &progress).await;
                response
            }
            RouteName::RecordedFile => recordings::file(harvests, visitor, self.exchange, [self.name(0), self.name(1)]).await?,
            RouteName::RecordingArchive => recordings::archive(harvests, visitor, self.name(0)).await?,
            // It changes nothing.
            RouteName::Examine => changes::examine(&**controls, visitor, headers, body).await?,
            RouteName::Stream => overview::stream(self.admin, visitor, &self.query)?,
            RouteName::Timeline => overview::timeline(self.admin, visitor, &self.query)?,
            RouteName::Objects => objects::list(self.admin, visitor, &self.query).await?,
            RouteName::Object => objects::describe(self.admin, visitor, &self.query)?,
            RouteName::Preview => objects::preview(self.admin, visitor, self.exchange, [self.name(0), self.name(1)]).await?,
            RouteName::Listen => events::listen(self.admin, visitor.clone(), self.exchange)?,
            RouteName::RemoveObject => {
                let (response, before) = objects::remove(self.admin, visitor, &self.query).await?;
                self.note(route, &before, &Value::Null).await;
                response
            }
            RouteName::Purge => {
                let (response, removed) = objects::purge(self.admin, visitor, self.exchange, body).await?;
                if let Some(removed) = removed {
                    self.note(route, &removed, &Value::Null).await;
                }
                response
            }
            RouteName::Namespaces | RouteName::Namespace | RouteName::Keys | RouteName::Key | RouteName::Settings => {
                changes::look(self.admin, visitor, route.place, self.name(0)).await?
            }
            RouteName::MakeViewerTokens | RouteName::RevokeViewers | RouteName::ViewerRevocations => {
                self.of_viewers(route, body).await?
            }
            place => {
                let name = self.name(0);
                let Changed { response, before, after } = match place {
                    RouteName::PutNamespace | RouteName::PatchNamespace | RouteName::RemoveNamespace => {
                        let order = NamespaceOrder { admin: self.admin, visitor, place, name, query: &self.query, headers };
                        changes::change_namespace(order, body, &|gone| self.note(route, gone, &Value::Null)).await?
                    }
                    RouteName::MakeKey | RouteName::RevokeKey | RouteName::RotateKey => {
                        changes::change_key(self.admin, place, name, headers, body).await?
                    }
                    RouteName::Reload => match changes::change_server(&**controls, place, headers, body).await {
                        // A part of it may be in force: who has it done, and what came of it, is told.
                        Err(refused) => {
                            self.note(route, &Value::Null, &json!({ "refused": refused.detail })).await;
                            return Err(refused);
                        }
                        done => done?,
                    },
                    _ => changes::change_server(&**controls, place, headers, body).await?,
                };
                if place != RouteName::CheckSettings {
                    self.note(route, &before, &after).await;
                }
                response
            }
        })
    }

    /// What a back end does about viewers' tokens of a namespace.
    async fn of_viewers(&self, route: &Route, body: Body) -> Result<Response, Problem> {
        let Inner { web, revokes, .. } = &*self.admin.inner;
        let parts = self.exchange.parts;
        let namespace = Namespace::parse(self.name(0)).map_err(|error| Problem::bad_request(error.to_string()))?;
        let vendor = self.visitor.grant().filter(|grant| grant.role == Role::Vendor).map(|grant| &**grant);
        let (response, after) = match route.place {
            RouteName::MakeViewerTokens => viewers::make(web, &namespace, vendor, &parts.headers, body).await?,
            RouteName::RevokeViewers => viewers::revoke(web, revokes, &namespace, vendor, &parts.headers, body).await?,
            _ => return viewers::feed(web, &namespace, parts.uri.query()),
        };
        self.note(route, &Value::Null, &after).await;
        Ok(response)
    }

    /// What this server by itself, or this node, knows of what each of several nodes would tell otherwise. `None`: of all else.
    pub(super) async fn own(
        admin: &Admin,
        visitor: &Visitor,
        place: RouteName,
        query: &QueryWords,
    ) -> Result<Option<Value>, Problem> {
        let Inner { web, harvests, controls, .. } = &*admin.inner;
        let read = |text: Vec<u8>| serde_json::from_slice(&text).unwrap_or_default();
        Ok(Some(match place {
            RouteName::Clients => read(web.inner.black_box.clients_json()),
            RouteName::Rejected => {
                let rejected = web.inner.black_box.rejected_json(&web.inner.refused_readers, &web.inner.unread);
                read(about::seen(rejected, visitor))
            }
            RouteName::Harvests => harvest::recent(&**harvests, visitor),
            RouteName::Noted => {
                let lines = controls.noted(query.number("limit", LINES, 1000)?).await;
                json!(AuditLines { lines, nodes: None })
            }
            RouteName::Overview => overview::overview(admin, visitor),
            RouteName::Series => Self::series(admin, visitor, query)?,
            // What all of them know, for who compares it.
            RouteName::Streams => about::stream_page(web, visitor, query)?,
            RouteName::Events => Self::events(admin, visitor, query)?,
            _ => return Ok(None),
        }))
    }

    fn series(admin: &Admin, visitor: &Visitor, query: &QueryWords) -> Result<Value, Problem> {
        let wanted = query.get("namespace");
        let is_there = |wanted: &str| admin.inner.web.inner.origin.usage().iter().any(|(name, _)| name.as_str() == wanted);
        if wanted.is_some_and(|namespace| !visitor.oversees(namespace) || !is_there(namespace)) {
            return Err(Problem::new(Code::NotFound, "there is no namespace of this name"));
        }
        let is_wanted = |name: &Namespace| wanted.is_none_or(|wanted| name.as_str() == wanted) && visitor.oversees(name.as_str());
        let past = match query.get("last") {
            None => QUARTER,
            Some(text) => {
                parse_duration(text).ok().filter(|past| (Duration::from_secs(1)..=DAY).contains(past)).ok_or_else(|| {
                    Problem::bad_request("last is a duration from 1s to 24h: up to 15m in seconds, more in minutes")
                })?
            }
        };
        let (step, most) = SampleStep::of(past);
        Ok(admin.inner.figures.series(step, most, is_wanted))
    }

    fn events(admin: &Admin, visitor: &Visitor, query: &QueryWords) -> Result<Value, Problem> {
        let limit = query.number("limit", EVENTS, REMEMBERED)?;
        let only_trouble = query.truth("trouble")?;
        let (since, until) = (query.time("since")?, query.time("until")?);
        let is_within = |event: &Value| {
            let at = || event["time"].as_str().and_then(WallTime::parse);
            // What does not say when is in no time that is asked for.
            since.is_none_or(|since| at().is_some_and(|at| at >= since))
                && until.is_none_or(|until| at().is_some_and(|at| at < until))
        };
        let is_wanted = |event: &Value| {
            let is = |field: &str| query.get(field).is_none_or(|wanted| event[field] == *wanted);
            is("namespace")
                && is("stream")
                && (!only_trouble || event["trouble"] == true)
                && is_within(event)
                && events::is_seen(event, visitor)
        };
        Ok(json!({ "events": admin.inner.events.last(limit, is_wanted) }))
    }

    /// What stands in the path for the name of this number.
    fn name(&self, number: usize) -> &str {
        self.names.get(number).map_or("", |name| name)
    }

    /// Has it written down who changed what.
    fn note(&self, route: &Route, before: &Value, after: &Value) -> BoxFuture<'_, ()> {
        let grant = self.visitor.grant();
        let context = self.exchange.context;
        self.admin.inner.controls.note(json!({
            "time": self.admin.inner.web.inner.origin.clock().wall().to_string(),
            "key_id": grant.map(|grant| grant.key_id.as_str()),
            "role": grant.map(|grant| grant.role.as_str()),
            "way": self.visitor.way(),
            "peer": context.peer.ip().to_string(),
            "action": format!("{} {}", route.method, route.path),
            "target": self.names,
            "before": before,
            "after": after,
            "request_id": context.id(),
        }))
    }
}

pub(super) fn about(web: &Web, rules: &Rules, begun: WallTime) -> About {
    About {
        name: "springhead",
        version: env!("CARGO_PKG_VERSION"),
        started_at: begun.to_string(),
        time: web.inner.origin.clock().wall().to_string(),
        is_ready: web.inner.ready.load(Ordering::Acquire),
        degraded: web.trouble(),
        data_listeners: rules.data_listeners.clone(),
        node: None,
        nodes: None,
    }
}

/// In the format that is asked for: Prometheus itself asks for `OpenMetrics`, a browser, curl and promtool do not.
fn metrics(web: &Web, request: &HeaderMap) -> Response {
    let asked = |accept: &HeaderValue| accept.to_str().is_ok_and(|accept| accept.contains("application/openmetrics-text"));
    let (content_type, text) = if request.get_all(ACCEPT).iter().any(asked) {
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", web.inner.metrics.render())
    } else {
        ("text/plain; version=0.0.4; charset=utf-8", web.inner.metrics.render_plain())
    };
    ([(CONTENT_TYPE, content_type)], text).into_response()
}
