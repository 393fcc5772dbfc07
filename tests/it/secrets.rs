//! Keys in playlists: taken out of what encoders write, and handed down where a reader asks for it.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::harness::{NAMESPACE, Origin, eventually};
use crate::programs::{limited, program};
use crate::wire::{Answer, Request};

/// What AWS Elemental MediaLive writes when its destination has this query.
fn multivariant(query: &str) -> String {
    format!(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-STREAM-INF:BANDWIDTH=2890000,AVERAGE-BANDWIDTH=2620000,RESOLUTION=1280x720,CODECS=\"avc1.640020,mp4a.40.2\"\n\
         playlist_720p30.m3u8{query}\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1790000,RESOLUTION=854x480,CODECS=\"avc1.4d401f,mp4a.40.2\"\n\
         playlist_480p30.m3u8{query}\n"
    )
}

#[test]
fn what_medialive_copies_into_its_playlist_never_reaches_a_viewer() {
    let origin = Origin::start();
    let key = &origin.encoder;
    for (query, left) in [
        (format!("?token={key}&ttl_seconds=3600&role=origin"), "?ttl_seconds=3600&role=origin"),
        (format!("?ttl_seconds=3600&role=origin&token={key}"), "?ttl_seconds=3600&role=origin"),
        (format!("?token={key}"), ""),
        ("?_gda_=exp=1~hmac=0".to_owned(), ""),
        (format!("?user={key}&b=c"), "?b=c"),
        (format!("?back=http%3A%2F%2Fx%2F%3Ftoken%3D{key}&b=c"), "?b=c"),
    ] {
        let put = origin.put("playlist.m3u8", multivariant(&query));
        let answer = origin.get("playlist.m3u8");
        assert_eq!(answer.text(), multivariant(left), "the key is taken out, and nothing else");
        assert_eq!(put.header("etag"), answer.header("etag"));
        // The tag is that of the bytes that are served.
        assert_eq!(origin.put("other.m3u8", multivariant(left)).header("etag"), answer.header("etag"));
    }
    let stripped = format!("springhead_playlists_stripped_total{{namespace=\"{NAMESPACE}\"}}");
    assert!((origin.metric(&stripped) - 6.0).abs() < 0.1);

    // In other places of a playlist, and in a manifest.
    let text = |query: &str, user: &str| {
        format!(
            "#EXTM3U\r\n#EXT-X-TARGETDURATION:2\r\n#EXT-X-KEY:METHOD=AES-128,URI=\"k.key{query}\"\r\n\
             #EXT-X-MAP:URI=\"i.mp4{query}\"\r\n#EXTINF:2,\r\nhttp://{user}origin.example/cache/live-origin/a.m4s{query}\r\n"
        )
    };
    origin.store("a.m3u8", text(&format!("?token={key}"), &format!("momento:{key}@")));
    assert_eq!(origin.get("a.m3u8").text(), text("", ""));
    let mpd = |query: &str| {
        format!("<MPD><BaseURL>\n a/{query}</BaseURL><S media=\"$Number$.m4s{query}\" initialization='i{query}'/></MPD>")
    };
    origin.store("a.mpd", mpd(&format!("?x=y&amp;token={key}&amp;b")));
    assert_eq!(origin.get("a.mpd").text(), mpd("?x=y&amp;b"));
}

#[test]
fn what_is_no_credential_stays_to_the_byte() {
    let origin = Origin::start();
    // A token of another make, under another name; one for a server of content keys; an unusual but honest text.
    let foreign = [r#"{"alg":"HS256","typ":"JWT","kid":"1"}"#, r#"{"iss":"https://drm.example","jti":"1","iat":1}"#, "signature"];
    let foreign = foreign.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    for text in [
        multivariant(""),
        multivariant("?ttl_seconds=3600&role=origin"),
        multivariant(&format!("?license={foreign}")),
        format!(
            "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"https://keys.example/k?token={foreign}\"\n#EXTINF:2, a?token \n\u{e4} b.ts?&&=#\r\n\n\n"
        ),
        "\u{feff}#EXTM3U\n#EXT-X-BYTERANGE:10@20\na//b.ts".to_owned(),
        "no playlist? at all@".to_owned(),
    ] {
        let plain = origin.put("a.bin", text.clone());
        assert_eq!(origin.put("a.m3u8", text.clone()).header("etag"), plain.header("etag"));
        assert_eq!(origin.get("a.m3u8").text(), text);
    }
    // What is no playlist is nobody's business.
    origin.store("a.txt", "a?token=x");
    assert_eq!(origin.get("a.txt").text(), "a?token=x");
}

#[test]
fn what_is_taken_out_is_the_namespaces_choice() {
    let origin = Origin::start_with_settings(
        "[namespaces.live-origin]\nstrip_credentials = false\n[namespaces.all]\nstrip_parameters = true\n\
         [namespaces.some]\nstrip_credentials = false\nstrip_parameters = true\n",
    );
    let (key, _) = origin.make_key(&["--namespace", "*", "--role", "readwrite"]);
    let text = |query: &str| format!("#EXTM3U\nhttp://u:p@h/cache/live-origin/a.ts{query}\n");
    let sent = text("?token=x&ttl_seconds=60&role=origin&b=c");
    for (namespace, expected) in
        [("live-origin", sent.clone()), ("all", text("?b=c").replace("u:p@", "")), ("some", text("?token=x&b=c"))]
    {
        let path = format!("/cache/{namespace}/a.m3u8");
        assert_eq!(Request::new("PUT", &*path).bearer(&key).body(sent.clone()).send(origin.address).status, 204);
        assert_eq!(Request::new("GET", &*path).bearer(&key).send(origin.address).text(), expected, "{namespace}");
    }
}

fn read(origin: &Origin, key: &str, query: &str, headers: &[(&str, &str)]) -> Answer {
    let request = Request::new("GET", format!("{}{query}", origin.path(key)));
    headers.iter().fold(request, |request, (name, value)| request.header(name, *value)).send(origin.address)
}

#[test]
fn children_inherit_the_key_of_one_answer() {
    let origin = Origin::start();
    let player = &origin.player;
    let stored = "#EXTM3U\n#EXT-X-MAP:URI=\"i.mp4?a=b\"\n#EXTINF:2,\na.ts#t\nhttps://other.example/cache/live-origin/b.ts\n";
    origin.store("a.m3u8", stored);
    let plain = origin.get("a.m3u8");
    let query = format!("token={player}&inherit_token=1");
    let expected = format!(
        "#EXTM3U\n#EXT-X-MAP:URI=\"i.mp4?a=b&{query}\"\n#EXTINF:2,\na.ts?{query}#t\nhttps://other.example/cache/live-origin/b.ts\n"
    );
    // The stored version's validators and ranges mean nothing here.
    let etag = plain.header("etag");
    for headers in
        [&[][..], &[("If-None-Match", etag)], &[("If-Modified-Since", plain.header("last-modified"))], &[("Range", "bytes=0-3")]]
    {
        let answer = read(&origin, "a.m3u8", &format!("?{query}&CMCD=x"), headers);
        assert_eq!((answer.status, answer.text()), (200, expected.clone()), "{headers:?}");
        assert_eq!(answer.header("cache-control"), "private, no-store");
        assert_eq!(answer.header("content-type"), plain.header("content-type"));
        assert_eq!(answer.header("content-length"), expected.len().to_string());
        for absent in ["etag", "last-modified", "accept-ranges", "content-range"] {
            assert_eq!(answer.headers(absent).count(), 0, "{absent}");
        }
    }
    assert_eq!(read(&origin, "a.m3u8", &format!("?{query}"), &[("If-Match", etag)]).status, 412);
    let head = Request::new("HEAD", format!("{}?{query}", origin.path("a.m3u8"))).send(origin.address);
    assert_eq!((head.status, head.header("content-length")), (200, &*expected.len().to_string()));
    // What was stored is what everybody else gets, before and after.
    assert_eq!((origin.get("a.m3u8").text().as_str(), origin.get("a.m3u8").header("etag")), (stored, etag));

    // Not asked for, not a playlist, or no good key in the query: the plain answer, and nothing of the query in it.
    let bearer = format!("Bearer {player}");
    let (other, _) = origin.make_key(&["--namespace", NAMESPACE, "--role", "readonly", "--prefix", "elsewhere/"]);
    for query in [
        format!("?token={player}"),
        format!("?token={player}&inherit_token=0"),
        "?inherit_token=1".to_owned(),
        "?token=x%0A%22y&inherit_token=1".to_owned(),
        format!("?token={other}&inherit_token=1"),
    ] {
        let answer = read(&origin, "a.m3u8", &query, &[("Authorization", &bearer)]);
        assert_eq!((answer.status, answer.text().as_str(), answer.header("etag")), (200, stored, etag));
    }
    origin.store("a.ts", "a.ts\n");
    let segment = read(&origin, "a.ts", &format!("?{query}"), &[]);
    assert_eq!((segment.text().as_str(), segment.headers("etag").count()), ("a.ts\n", 1));
    assert!(segment.header("cache-control").starts_with("public"));
    let packed = [&[0x1f, 0x8b, 8, 0][..], b"\na.ts\n"].concat();
    origin.store("packed.m3u8", packed.clone());
    assert_eq!(read(&origin, "packed.m3u8", &format!("?{query}"), &[]).body, packed);

    // An absolute URI leads back when its host is the one that was asked.
    let absolute = |query: &str| format!("#EXTM3U\nhttp://Origin.example:8080/cache/live-origin/a.ts{query}\n");
    origin.store("b.m3u8", absolute(""));
    let at = |host: &str| {
        let head = format!("GET {}?{query} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", origin.path("b.m3u8"));
        crate::wire::Wire::open(origin.address).write(head).answer_to("GET").text()
    };
    assert_eq!(at("origin.example:8080"), absolute(&format!("?{query}")));
    assert_eq!(at("origin.example"), absolute(""));
}

#[test]
fn what_would_be_too_long_with_the_key_is_refused_and_not_given_without() {
    let origin = Origin::start();
    let listed: String = (0..80_000).map(|number| format!("#EXTINF:2,\n{number}.ts\n")).collect();
    origin.store("long.m3u8", format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{listed}#EXT-X-ENDLIST\n"));
    let query = format!("token={}&inherit_token=1", origin.player);
    let answer = read(&origin, "long.m3u8", &format!("?{query}"), &[]);
    let text = answer.text();
    assert!(answer.status == 400 && text.contains("inherit-too-long") && text.contains("Authorization"), "{text}");
    assert!(!text.contains(&origin.player));
    assert_eq!(read(&origin, "long.m3u8", &format!("?token={}", origin.player), &[]).status, 200);
}

#[test]
fn a_key_is_no_variables_value_and_references_stay() {
    let origin = Origin::start();
    let text = |value: &str| {
        format!(
            "#EXTM3U\n#EXT-X-DEFINE:NAME=\"k\",VALUE=\"{value}\"\n#EXT-X-DEFINE:QUERYPARAM=\"token\"\n#EXT-X-DEFINE:NAME=\"path\",VALUE=\"media\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1\n{{$path}}/v.m3u8?x={{$k}}\n#EXT-X-STREAM-INF:BANDWIDTH=2\nw.m3u8?token={{$token}}\n"
        )
    };
    for value in [origin.encoder.clone(), format!("x=1&token={}", origin.encoder)] {
        origin.store("m.m3u8", text(&value));
        let left = if value.starts_with("x=1") { "x=1" } else { "" };
        assert_eq!(origin.get("m.m3u8").text(), text(left));
    }
}

fn run(limit: u32, command: &str, arguments: &[&str]) -> Output {
    limited(limit, command).args(arguments).output().unwrap()
}

/// Uploads what ffmpeg wrote into a folder.
fn upload(origin: &Origin, folder: &Path) {
    for file in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        origin.store(file.file_name().to_str().unwrap(), fs::read(file.path()).unwrap());
    }
}

#[test]
fn one_pasted_url_plays() {
    let origin = Origin::start();
    let folder = tempfile::tempdir().unwrap();
    let source = "-hide_banner -v error -f lavfi -i testsrc2=size=160x90:rate=15 -f lavfi -i sine=sample_rate=48000 -t 4 \
        -map 0:v -map 1:a -c:v libx264 -preset ultrafast -g 15 -c:a aac -b:a 48k";
    let hls =
        "-f hls -hls_time 1 -hls_playlist_type vod -hls_segment_type fmp4 -master_pl_name master.m3u8 -var_stream_map v:0,a:0";
    let dash = "-f dash -seg_duration 1 -use_template 1 -use_timeline 1";
    for (output, name) in [(hls, "media_%v.m3u8"), (dash, "a.mpd")] {
        let words: Vec<_> = source.split_whitespace().chain(output.split_whitespace()).collect();
        let made = program("ffmpeg").current_dir(folder.path()).args(words).arg(name).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    upload(&origin, folder.path());
    for name in ["master.m3u8", "a.mpd"] {
        let url = format!("http://{}{}?token={}", origin.address, origin.path(name), origin.player);
        let play = |url: &str| run(60, "ffmpeg", &["-hide_banner", "-v", "error", "-xerror", "-i", url, "-f", "null", "-"]);
        let inherits = format!("{url}&inherit_token=1");
        let probe = ["-v", "error", "-count_packets", "-show_entries", "stream=codec_name,nb_read_packets", "-of", "csv=p=0"];
        let probed = run(60, "ffprobe", &[&probe[..], &[&inherits]].concat());
        let streams = String::from_utf8_lossy(&probed.stdout).into_owned();
        assert!(streams.contains("h264,60\n") && streams.contains("aac,1"), "{name}: {streams}{}", hide(&origin, &probed.stderr));
        let played = play(&inherits);
        assert!(played.status.success() && played.stderr.is_empty(), "{name}: {}", hide(&origin, &played.stderr));
        assert!(!play(&url).status.success(), "{name}: without it the children ask for a key");
    }
}

/// What a player said, without the key.
fn hide(origin: &Origin, said: &[u8]) -> String {
    String::from_utf8_lossy(said).replace(&origin.player, "KEY")
}

#[test]
fn a_key_in_a_name_is_told_to_nobody() {
    let origin = Origin::start();
    let key = &origin.encoder;
    // Long segments: what is stale is not missed.
    let head = "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXT-X-MEDIA-SEQUENCE:1\n";
    origin.store("p.m3u8", format!("{head}#EXT-X-MAP:URI=\"{key}/i.mp4\"\n#EXTINF:5,\n{key}/1.ts\n#EXTINF:5,\n{key}/2.ts\n"));
    origin.store(&format!("{key}/own.m3u8"), format!("{head}#EXTINF:5,\n1.ts\n"));
    let told = |event: &str| origin.log().into_iter().find(|line| line["message"] == "stream" && line["event"] == event);
    let missing = eventually(Duration::from_secs(30), || told("init-missing")).expect("what is missing is told");
    assert!(missing["detail"].as_str().unwrap().starts_with("(hidden)/i.mp4 "), "{missing}");
    let log = origin.log().iter().map(ToString::to_string).collect::<String>();
    assert!(log.contains("(hidden)/own.m3u8") && !log.contains(&**key), "{log}");
    let streams = Request::new("GET", "/v1/streams").send(origin.admin).text();
    assert!(streams.contains("(hidden)/own.m3u8") && !streams.contains(&**key), "{streams}");
}
