//! Springhead from outside: real sockets, the real binary, real encoders and players. A module per subject.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets the unexpected ends there")]
#![expect(clippy::print_stderr, reason = "the end of the server's log belongs to a failure")]
#![expect(clippy::disallowed_types, reason = "from outside there is only real time")]

mod foreign;
mod front;
mod handover;
mod harness;
mod metrics_page;
mod packager;
mod programs;
mod tokens;
mod turns;
mod webhooks;
mod wire;

mod access;
mod admin_api;
mod admin_looks;
mod admin_prefix;
mod attacks;
mod begun_anew;
mod caches;
mod capacity;
mod cli;
mod cloud;
mod cluster;
mod cold;
mod conformance;
mod console;
mod dash;
mod dashboard;
mod demo;
mod described;
mod digest;
mod doctor;
mod documents;
mod drain;
mod durable;
mod edge;
mod encoders;
mod facts;
mod growing;
mod harvest;
mod http2;
mod limits;
mod lip_sync;
mod live;
mod migrating;
mod misbehaving;
mod normalise;
mod observability;
mod order;
mod packed;
mod pairs;
mod players;
mod power;
mod read;
mod recipes;
mod reload;
#[path = "../../src/hls/rules/mod.rs"]
mod rules;
mod secrets;
mod service;
mod slow;
mod smuggling;
mod space;
mod stand_ins;
mod store_model;
mod tidy;
mod timeshift;
mod tls;
mod tls_clients;
mod traces;
mod tutorial;
mod unread;
mod upkeep;
mod vending;
mod viewer_forms;
mod viewer_players;
mod viewers;
mod windows;
mod write;
