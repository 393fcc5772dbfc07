//! Springhead: a self-hosted HTTP origin for live video.
//!
//! Encoders push short segments and constantly rewritten playlists; CDNs pull them. In between stands this: a sharded store in
//! memory with a time to live on every object and a byte budget for every namespace, keys that are scoped and revocable, and
//! HTTP as encoders and CDNs really speak it.
//!
//! # Words
//!
//! HLS, DASH and HTTP have their own, and they mean here what they mean there: segment, part, rendition, media playlist, multivariant
//! playlist, MPD, target duration, representation, range, validator, challenge. These are ours:
//!
//! | word | what it means |
//! | --- | --- |
//! | namespace | objects with rules and a memory budget of their own; the first part of every address |
//! | object | what is stored under a name: a namespace and a key. Whole or absent |
//! | object key | the name within the namespace, slashes included. Where it can't be mistaken: key |
//! | API key | a signed text that says who may do what; an ingest credential is its short form for encoders |
//! | grant | what an API key allows, once it has been found good |
//! | version | an object's bytes and headers between two uploads; in memory an entry, which never changes |
//! | kind | what an object is to a stream: playlist, manifest (an MPD), initialization, segment |
//! | protected | of a kind that is evicted last, because a stream that is alive needs it |
//! | hot store | memory, where every upload becomes visible and most reads end |
//! | durable tier | disk or a bucket below the hot store: what leaves memory is read from there, and a restart brings it back |
//! | journal | what a process writes down so that the next one knows what is there without looking |
//! | upload | a body on its way in; growing, when it can be read meanwhile |
//! | arriving | of an object that is about to be there, by what the playlists say; a read of it is held |
//! | edge | the newest end of a live stream |
//! | standing | whether a stream's playlist is live, late, stale or ended |
//! | event | what was found about a stream, told once: counted, logged, sent to webhooks |
//! | history | what a playlist has listed, beyond what it lists now; a window is a part of it that a reader asks for |
//! | normalised | of a media playlist: composed here from the versions that its encoder writes, so that it is legal whatever these are; a pair is made of two sources, its sides, of which one is active |
//! | public name | the name of a segment in such a playlist, which carries the segment's content |
//! | gate | holding a new playlist back until the segments it lists are there |
//! | harvest | a window of a stream copied to a folder or bucket, as a recording |
//! | problem | an error as the client is told it (RFC 9457), by its code |
//! | drain | the end of a process that finishes what it has begun |
//!
//! # Names that stand for two things
//!
//! | type | why |
//! | --- | --- |
//! | `Inner` | what a cheap handle shares, always private to the file of its handle, as it is named all over Rust |
//! | `Upload` | the store's is bytes on their way in, the origin's is that and the rules which it has to keep; one holds the other |
//!
//! # The house
//!
//! Built in floors. A module uses only floors below its own, never sideways, never up; and within a folder the files use each other
//! in one direction: a folder's `mod.rs` and its files know each other, files beside each other never in a circle. `tests/it/tidy`
//! checks both.
//!
//! | floor | module | duty |
//! | --- | --- | --- |
//! | 6 | [`app`] | puts the house together: settings, commands, keys on disk, start and drain |
//! | 5 | [`web`] | the words of HTTP: URLs, headers, status codes, connections |
//! | 4 | [`origin`] | what an origin does: the rules of a write, of a read, of a removal, of liveness and of looking back |
//! | 3 | [`store`] | where bytes are: the hot store, uploads in flight, the byte account, the tier below |
//! | 2 | [`auth`] | pure judgement: a key string <-> what its holder may do |
//! | 2 | [`hls`] | what playlists and MPDs say, and the few changes an origin makes to them |
//! | 1 | [`media`] | what a segment's bytes say of it: where it begins, how long it is, what is broken |
//! | 1 | [`metrics`] | every counter and gauge, by name and meaning |
//! | 0 | [`model`] | words: parsed once, always valid |
//!
//! # One PUT
//!
//! [`web`] reads the URL and the key from the headers, [`origin`] admits the upload, [`store`] reserves its bytes; only then is
//! the body touched, and from then on the upload goes on without its client if it has to. Its pieces go into the upload; its end
//! commits it, in three steps. *Prepare*: what is not to be stored is taken out of a playlist, and it is read. *Decide*: of two changes
//! the one that was begun later wins, and conditions are judged. *Apply*: one step under the namespace's lock makes it the object and
//! names what has to make room, and the stream behind it takes note; all of that as of the time that came with the decision. A removal
//! is decided and applied likewise. There is one way to abort: dropping the upload. The files, in order:
//! `web/connection/{listener, timed}`, `web/{data, envelope, exchange}`, `web/verbs/put`, `origin/{put, prepare, decide, apply}`,
//! `store/upload`, `store/hot`.
//!
//! # One GET
//!
//! The same first steps, one look-up under a shard's read lock, and the store's own bytes go to the socket by reference. Where
//! there is no whole version but an upload of one that can be read, its pieces go there in the same way, each as it comes; when the
//! upload breaks off, so does the answer. What has left memory is read once from the tier below for all who ask. What is not there
//! and about to arrive, by what the playlists say, is waited for. The files, in order: those of a PUT as far as `web/exchange`, then
//! `web/verbs/get`, `origin/read/mod`, `store/hot`, and back by `web/verbs/reply`. What is hot never leaves that way: the other
//! sources and views are behind it, in boxes that are made when they are needed.
//!
//! # Two sources, one stream
//!
//! What the encoders of a [pair](origin) write is stored as it came, each under its own name. When a version of a side's playlist has been
//! stored, it is composed (`origin/{listed, composing}`) to a list of that side alone, by the rules of [`hls::normalise`]; of both lists comes,
//! line by line, the public one (`origin/pairing`): a line that was served never changes, and the next is the active side's, or the other's
//! where that one is out, late or broken. The public playlist is stored like an object, carries its own memory and is all that is read at a
//! restart. A GET of it is a GET; a segment that it names is looked for by the content its name carries (`origin/named`), wherever that lies.
//! What the two sides are to each other, and who is told of a switch, is in `origin/pairs`.
//!
//! # Several nodes
//!
//! Processes that share an engine, a Valkey server, are nodes of one origin: [`store::shared`]. There a write is decided at the engine, and
//! applied on every node as the engine's journal tells of it, with its time (`origin/shared`); a read waits first until what its node knows is
//! as new as all that was answered (`origin/read`), and finds what is not in memory at the engine, as if that were a tier. Public playlists
//! are composed on each node that knows of something new (`origin/{shared_news, shared_public}`); the engine takes the first that goes on from
//! what is there, and has what makes way and is listed still (`origin/keeping`). A bucket below the engine is written by all of them, each
//! object by who has claimed it (`store/shared/keep`), and gives an engine that comes back empty its index again (`store/shared/fill`). Beside objects they share texts, each whole under its name:
//! what the admin API makes (namespaces, key records), which [`app`] has in force on every node, and on one that starts before it answers
//! anybody (`app/catch_up`).
//!
//! # Viewers
//!
//! Who watches holds no API key but a token, made from a viewer key: [`auth::viewer`] says what one allows, `web/viewer` finds it in a request,
//! in the name first, before anything asks for an API key, and `web/entitlement` answers the same question for a cache that asks on a
//! viewer's behalf. `web/admin/viewers` hands tokens out and ends them early.
//!
//! # The operator's side
//!
//! [`web::admin`] is a listener of its own. A route is a line in `routes` there, with who may; its description, the audit of what it
//! changed and the console, which does nothing that a route does not do, follow from it. What it changes of settings and keys goes through
//! [`app`], by the ports in `web/admin/{controls, viewers}`, and is on disk before it is acknowledged.
//!
//! # When two rules collide
//!
//! Correct bytes > the live edge never stalls > the memory bound > durable > fast > small code.

pub mod app;
pub mod auth;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod hls;
pub mod media;
pub mod metrics;
pub mod model;
pub mod origin;
pub mod store;
pub mod web;
