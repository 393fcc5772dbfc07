//! Every kind of problem there is, as a value: its code, status, title, whether to try again, and advice for who has to mend it.
//!
//! One list: answers, logs, metrics, the black box and `doctor` take their words from here, and a test holds the documents' table of
//! codes against it. A code is a promise: it is never renamed, and never means something else.

/// Whether a client that is refused does well to send the same again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Not as it is: somebody has to mend something first.
    Never,
    /// With other credentials, or the same by another scheme: the answer carries a challenge.
    WithCredentials,
    /// After this many seconds, which the answer says in `Retry-After`: what was in the way passes. 0: at once, on a connection that
    /// holds.
    After(u64),
}

/// What is known of a code.
struct CodeFacts {
    name: &'static str,
    status: u16,
    title: &'static str,
    retry: Retry,
    advice: &'static str,
}

macro_rules! codes {
    ($($code:ident $name:literal $status:literal $retry:expr, $title:literal: $advice:literal)*) => {
        /// A kind of problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum Code {
            $(#[doc = $title] $code,)*
        }

        impl Code {
            /// All of them, in the order of their statuses.
            pub const ALL: &[Self] = &[$(Self::$code,)*];
        }

        const FACTS: &[CodeFacts] = &[$(CodeFacts { name: $name, status: $status, title: $title, retry: $retry, advice: $advice },)*];
    };
}

codes! {
    BadRequest "bad-request" 400 Retry::Never, "The request can't be understood":
        "The request can't be understood: 'detail' says which part of it."
    TtlOutOfRange "ttl-out-of-range" 400 Retry::Never, "The TTL is not one the namespace takes":
        "Lower ttl_seconds in the encoder's destination URL, or raise the namespace's max_ttl."
    WindowTooLong "window-too-long" 400 Retry::Never, "The window of time is too long":
        "Ask for a shorter time: a playlist of the past has 16 MiB at most. When a few hours are too long, look at the EXT-X-KEY tags \
         that the encoder writes: long ones take most of it."
    InheritTooLong "inherit-too-long" 400 Retry::Never, "The playlist is too long to hand a key down":
        "With the key on each of its URIs the playlist would have more than 16 MiB. Have the player, or a CDN before it, send the key in a \
         header (Authorization: Bearer KEY) in place of inherit_token, or ask for less of the playlist: ?last=1h."
    IncompleteBody "incomplete-body" 400 Retry::After(0), "The upload broke off":
        "The connection broke before the object was whole: look at the encoder's uplink and at proxies in between. When every upload \
         ends so, its Content-Length is wrong or something in between cuts it off."
    ViewerTokenOnWrite "viewer-token-on-write" 400 Retry::Never, "A viewer's token writes nothing":
        "Take the viewer's token out of what the encoder sends, the '~...' element of the path, cat in the query, the header or the cookie: \
         uploads and deletions take an API key of role readwrite, and no name of an object may look like a token."
    NoCredentials "no-credentials" 401 Retry::WithCredentials, "An API key is needed":
        "The client sends no credentials. In AWS Elemental MediaLive set CDN settings to HLS Akamai, enter any user name and the \
         readwrite key as the password. With ffmpeg give -headers $'Authorization: Bearer KEY\\r\\n', or http://any:KEY@HOST/... as \
         the address. A CDN sends the readonly key in a header to the origin; a player takes it as ?token=KEY."
    BadCredentials "bad-credentials" 401 Retry::Never, "The API key is not accepted":
        "The client sends a key, and it is not good: 'reason' says why. Compare it with the file it was taken from by 'springhead keys \
         inspect'; look for a cut-off end, a line break or quotes that were pasted along, an expired or revoked key, or one of another \
         server. Make a new one with 'springhead keys create --role readwrite --namespace NAME' (readonly for a CDN)."
    StaleNonce "stale-nonce" 401 Retry::WithCredentials, "The Digest nonce is too old":
        "Nothing to do: the client is asked to answer a new challenge, and does so by itself. If it never gets further, it does not \
         understand Digest: give it the key as a Basic password."
    ViewerTokenMissing "viewer-token-missing" 401 Retry::Never, "A viewer's token is needed":
        "The namespace has viewers.mode = \"required\", and the request has no token: does the player lose it on the way, by an absolute URI \
         or one from the root? A CDN that checks tokens itself sends a readonly key that was made with --edge."
    ViewerTokenInvalid "viewer-token-invalid" 401 Retry::Never, "The viewer's token is not accepted":
        "The token was not made with a viewer key of this server, or was changed or cut off on the way: 'detail' in the log says which. \
         'springhead token inspect' reads one."
    ViewerTokenExpired "viewer-token-expired" 401 Retry::Never, "The viewer's token has ended":
        "The player went on with a token that has ended: have it take a new one after two thirds of a token's life."
    ViewerTokenNotYet "viewer-token-not-yet" 401 Retry::Never, "The viewer's token is not good yet":
        "The token's time begins later: compare the clock of who makes tokens with this server's."
    ViewerTokenRevoked "viewer-token-revoked" 401 Retry::Never, "The viewer's token was revoked":
        "Somebody ended the token, or all that opened this and were made before a moment: /v1/namespaces/NAME/viewer-revocations has which."
    Forbidden "forbidden" 403 Retry::Never, "The API key is not for this":
        "The key is good, but not for this. Uploads and deletions take role readwrite, and the key has to be made for this namespace \
         and, if it has a prefix, for this object: see 'springhead keys inspect'. Is the player's key in the encoder?"
    ViewerTokenScope "viewer-token-scope" 403 Retry::Never, "The viewer's token is not for this":
        "The token is good, but for another namespace, path, method or host: compare what it says ('springhead token inspect') with what was \
         asked for and with the namespace's viewers.base_path."
    ViewerTokenPlace "viewer-token-place" 403 Retry::Never, "The viewer's token is not for this place":
        "The token is good for other addresses or countries than the viewer's: phones that leave a Wi-Fi change theirs, and so do IPv6 and IPv4 in \
         turn. Compare client_address_header and country_header with what the proxy in front sends."
    ViewerTokenUnsupported "viewer-token-unsupported" 403 Retry::Never, "The viewer's token can't be judged here":
        "The token says what this server does not evaluate, which is therefore refused; or the namespace has viewers.mode = \"off\". 'detail' \
         says which."
    HarvestOff "harvest-off" 403 Retry::Never, "This server takes no such orders":
        "Name a folder or a bucket in [harvest] of the settings, or order it to one that is named there."
    ForeignOrigin "foreign-origin" 403 Retry::Never, "A web page from elsewhere asked":
        "A page in somebody's browser had it ask the admin listener. If that is a tool of yours, have it ask with an admin key, and \
         not from a page."
    NotFound "not-found" 404 Retry::Never, "There is no such object":
        "It was not uploaded, was deleted, has outlived its TTL, or made room for newer ones: compare the name with what the encoder \
         writes, and look at evictions and ttl_seconds."
    NothingRetained "nothing-retained" 404 Retry::Never, "Nothing of that time is here":
        "Ask for a time in which the stream was uploaded and that lies within its TTL; a longer ttl_seconds, or a durable tier, keeps \
         more of it."
    Stale "stale" 404 Retry::Never, "The stream stands still":
        "The encoder has stopped: look there first. Where an old playlist is better than a fail-over, set on_stale = \"serve\"."
    UnknownNamespace "unknown-namespace" 404 Retry::Never, "The namespace is not configured":
        "The URL's /cache/{namespace} is not configured. Correct it in the encoder's destination, or add the namespace to the \
         server's settings."
    NoSuchPlace "no-such-place" 404 Retry::Never, "There is nothing at this path":
        "The destination's path is wrong: it is /cache/{namespace}/{name}, as in /cache/live-origin/playlist.m3u8."
    MethodNotAllowed "method-not-allowed" 405 Retry::Never, "The verb is not taken here":
        "The encoder uses a verb this server does not have. Choose plain HTTP PUT; in AWS Elemental MediaLive set CDN settings to HLS \
         Akamai."
    SlowBody "slow-body" 408 Retry::After(0), "The upload took too long":
        "The upload took longer than timeouts.upload_total. Look at the encoder's uplink; shorten the segments or lower the bitrate; \
         if its segments grow in real time for longer than that, raise the limit."
    StalledBody "stalled-body" 408 Retry::After(0), "The upload stood still":
        "The encoder stopped sending in the middle of an object. Look at its uplink and its load; if its segments grow in real time, \
         raise timeouts.upload_idle."
    HarvestTaken "harvest-taken" 409 Retry::Never, "Another harvest goes to this place":
        "Wait for its end, cancel it, or name another place."
    PublicName "public-name" 409 Retry::Never, "Viewers read by this name, and nobody writes it":
        "Have each encoder write below a prefix of its own, one of 'sources' of the namespace's pair: 'detail' names them. What is below \
         'public' is made of that by the server."
    DeclaredInFile "declared-in-file" 409 Retry::Never, "The settings file says so":
        "What a settings file, flag or variable declares is changed there, followed by a reload; 'detail' names the place."
    InUse "in-use" 409 Retry::Never, "It is in use, or not what was expected":
        "'detail' says what is in the way, and how the order is given all the same."
    TooManyRevocations "too-many-revocations" 409 Retry::Never, "As many revocations are kept as may be":
        "End all viewers' tokens that open a part of the namespace at once, by 'prefix' and 'issued_before'; say 'expires_at' with each that is \
         ended by its id, so that it is forgotten when the token is over; or change the viewer key, which ends all."
    LengthRequired "length-required" 411 Retry::Never, "The body's end is unknown":
        "The encoder, or a proxy in between, sends a body and says neither Content-Length nor 'Transfer-Encoding: chunked': turn on \
         either. With curl give -T FILE, or --data-binary @FILE; for an empty object, 'Content-Length: 0'."
    PreconditionFailed "precondition-failed" 412 Retry::Never, "The condition does not hold":
        "The encoder writes under a condition (If-Match, If-None-Match) that does not hold: do two encoders write to one name?"
    TooLarge "too-large" 413 Retry::Never, "The body is too large":
        "The segment is larger than the namespace's max_object_size. Shorten the segments, lower the top bitrate, or raise \
         max_object_size; 'springhead size' does the arithmetic."
    NoJson "no-json" 415 Retry::Never, "The order is no JSON":
        "Send the order with Content-Type: application/json."
    RangeNotSatisfiable "range-not-satisfiable" 416 Retry::Never, "No such part of the object":
        "The range begins behind the object's end: the client takes it for a longer one, or its copy of the playlist is not this one's."
    UnknownHost "unknown-host" 421 Retry::Never, "The admin listener is not known by this name":
        "Call it by localhost or its address, send a key that opens what you ask for, or name the host in admin_hosts of the settings."
    OrderDiffers "order-differs" 422 Retry::Never, "Another order was sent under this key":
        "An Idempotency-Key names one order: take a new one for each, and the same only to send the same again."
    ConditionRequired "condition-required" 428 Retry::Never, "Say which version is changed":
        "Read it, change it, and send it with the ETag that it was read with as If-Match: so nobody's change is lost."
    TooManySignIns "too-many-sign-ins" 429 Retry::Never, "Too many failed sign-ins":
        "Somebody tries keys at the admin listener's sign-in. Wait a minute; 'springhead console' on the server prints a link that signs in."
    ViewerLimit "viewer-limit" 429 Retry::Never, "The viewer's token is used too much":
        "One token is used more, or from more addresses at once, than viewers.requests_per_second, bytes_per_second or sessions allow: was it \
         handed on? Behind a CDN its addresses count, unless viewers.client_address_header says the viewers'."
    HeadTooLarge "head-too-large" 431 Retry::Never, "The request's headers are too large":
        "The request line and headers are over 32 KiB: see what a proxy in between adds, and shorten it."
    Internal "internal" 500 Retry::Never, "A fault of the server":
        "A bug of this server: its log has the place. Please report it."
    TransferCoding "transfer-coding" 501 Retry::Never, "The transfer coding is not known":
        "Turn off compression of uploads in the encoder: a body comes with Content-Length or plain chunked."
    TooManyHarvests "too-many-harvests" 503 Retry::After(30), "Too many harvests wait":
        "Order it again when one of those that run is over."
    KeyUnread "key-unread" 503 Retry::After(5), "The key's record can't be read":
        "The client sends a key's id and a password, and the key's record in the data directory can't be read: the log names the file and says \
         why. One that a newer Springhead has written is good again when that one runs; until then give the client the API key itself, which \
         needs no record."
    RateLimited "rate-limited" 503 Retry::After(1), "The namespace's rate is used up":
        "The namespace's rate of requests or bytes is used up, and the encoder tries again by itself. If that lasts, raise \
         write_requests_per_second or write_bytes_per_second (read_… for readers) of the namespace, or find out who sends so much: the \
         access log has each request."
    TooManyBytesInFlight "too-many-bytes-in-flight" 503 Retry::After(1), "Too many uploads at once":
        "Too many uploads at once. The encoder tries again by itself; if it lasts, raise max_in_flight, or look for clients that \
         upload slowly."
    NotDurable "not-durable" 503 Retry::After(1), "The durable tier has not taken it in time":
        "The namespace has ack = \"durable\", and its tier did not take the object in time. Nothing is lost if the encoder sends it \
         again; /readyz, the log and springhead_durable_up say what the tier suffers from: a full or slow disk, a bucket that can't be \
         reached. With ack = \"hot\" the encoder need not wait for it."
    TierUnreachable "tier-unreachable" 503 Retry::After(1), "The durable tier can't be read":
        "The object may be in the durable tier, which can't be read at the moment: /readyz and the log say why. Readers try again by \
         themselves."
    EngineUnreachable "engine-unreachable" 503 Retry::After(1), "The engine that the nodes share does not answer":
        "Several nodes share one engine ([cluster] engine), and it does not answer this one: /readyz and the log say why. An upload that \
         was answered like this may or may not have happened; sent again it is the same object. Readers try again by themselves."
    BytesLost "bytes-lost" 503 Retry::After(1), "Nobody has the object's bytes any more":
        "The engine that the nodes share ([cluster] engine) came back without the object's bytes, and no node and no bucket has them. Upload it \
         again. With ack = \"durable\" and a bucket below, what was answered outlives the loss of the engine."
    EngineFull "engine-full" 503 Retry::After(1), "The engine that the nodes share is full":
        "Nothing was stored: the engine ([cluster] engine) holds as much as its maxmemory allows. Raise that, shorten the TTLs, or delete what is \
         not needed: removals are done all the same. Uploads go on as soon as something has expired."
    NotInTime "not-in-time" 503 Retry::After(1), "The playlist's next segment has not come":
        "A player waited for a segment that did not come: the encoder may have stopped, see /v1/streams."
    TooManyHeld "too-many-held" 503 Retry::After(1), "As many reads wait as may":
        "More players wait for the next version of a playlist than max_held allows in this namespace. Players ask again by themselves; \
         if it lasts, raise max_held, or let a CDN make one request of theirs (docs/cdns.md)."
    Starting "starting" 503 Retry::After(2), "What was listed before is still being read":
        "Nothing to do: the server has just started, and reads the histories of its playlists. Windows of the past can be asked for when \
         that is done; all else is served."
    Draining "draining" 503 Retry::After(1), "The server is about to end":
        "Nothing to do: the server was told to end, and a reader waited for what had not come. It asks again, and another server answers."
}

impl Code {
    /// The code of this name, if there is one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }

    fn facts(self) -> &'static CodeFacts {
        &FACTS[self as usize]
    }

    /// Its name: the last part of the problem's `type`, `reason` in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// The status it is answered with.
    #[must_use]
    pub fn status(self) -> http::StatusCode {
        http::StatusCode::from_u16(self.facts().status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// What it is, in a few words.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.facts().title
    }

    /// Whether to try again.
    #[must_use]
    pub fn retry(self) -> Retry {
        self.facts().retry
    }

    /// Whether it says that somebody was not let in, and not that something was not there.
    #[must_use]
    pub fn is_about_access(self) -> bool {
        matches!(self, Self::UnknownNamespace | Self::UnknownHost | Self::ForeignOrigin | Self::Forbidden | Self::KeyUnread)
            || self.is_about_viewer()
            || self.status() == http::StatusCode::UNAUTHORIZED
    }

    /// Whether it is about a viewer's token. No cache may keep such an answer, whatever the namespace says of others.
    #[must_use]
    pub fn is_about_viewer(self) -> bool {
        self.name().starts_with("viewer-")
    }

    /// What a person who knows encoders, players and CDNs would say to who has to mend it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        self.facts().advice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_list_is_this_list() {
        let page = include_str!("../../../docs/http.md");
        let table = page.split("| code | status | what it means |").nth(1).expect("docs/http.md has the table of codes");
        let mut listed: Vec<(&str, u16)> = Vec::new();
        for line in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
            let mut cells = line.split('|').map(|cell| cell.trim().trim_matches('`'));
            let (name, status) = (cells.nth(1).unwrap(), cells.next().unwrap());
            listed.push((name, status.parse().unwrap_or_else(|_| panic!("{line}"))));
        }
        let known: Vec<_> = Code::ALL.iter().map(|code| (code.name(), code.status().as_u16())).collect();
        assert_eq!(listed, known, "docs/http.md lists the codes of src/web/problem/code.rs, in their order");
    }

    #[test]
    fn each_code_is_one_of_its_own_and_says_what_to_do() {
        for (index, code) in Code::ALL.iter().enumerate() {
            assert_eq!((*code as usize, Code::parse(code.name())), (index, Some(*code)), "{code:?}");
            assert!(code.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{code:?}");
            assert!(code.advice().len() > 40 && code.advice().ends_with(['.', '?']), "{code:?} has advice");
            assert!(code.title().len() > 8, "{code:?} has a title");
            // What passes by itself is never answered with a status on which encoders give up for good.
            let passes = matches!(code.retry(), Retry::After(1..));
            assert_eq!(passes, code.status().as_u16() == 503, "{code:?}");
        }
    }
}
