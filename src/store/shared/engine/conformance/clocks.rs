//! What an engine makes of a clock that is not as it was.

use super::*;

/// By the clock of the real one, to whose records times are given that are still to come.
#[tokio::test]
async fn a_clock_that_was_set_back_holds_nothing_up() {
    let server = ValkeyServer::start(&[]);
    let engine = server.engine("back").await;
    let mut link = engine.link(LANE, &server.address.servers[0]).await.unwrap();
    let takeover = EngineCall::Takeover { line: 7, known: Version::default(), floor: 0, node: Node::from("c 3 0.9 k"), heard: 0 };
    let taken = link.call(&takeover, 0).await.unwrap();
    let Reply::Taken(TakenTerm { newest: Version { term, .. }, .. }) = taken.reply else { panic!("{taken:?}") };
    let [one, gone] = ["a 1 0.9 k", "b 2 0.9 k"].map(Node::from);
    for node in [&one, &gone] {
        link.call(&EngineCall::Gate { term, node: Node::clone(node) }, 0).await.unwrap();
    }
    let ask = |asked: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", server.address.servers[0].port)).unwrap();
        write!(stream, "{asked}\r\nQUIT\r\n").unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    };
    let now = Clock::system().wall().millis();
    let ahead = now + 3_600_000;
    ask(&format!("HSET {{back:03}}:t m {ahead} b {ahead}"));
    ask(&format!("ZADD {{back:03}}:k {ahead} 1"));
    ask(&format!("HSET {{back:03}}:s \"{gone}\" {ahead}"));
    let object = Some(SharedObject { etag: 1, length: 0, is_bare: false, expires: ahead, described: Bytes::new() });
    let (name, expected, body) = (ObjectName::from("n/a"), Precondition::Anything, SharedBody::default());
    let commit = EngineCall::Commit {
        term,
        node: Node::clone(&one),
        upload: UploadId(1),
        name,
        expected,
        object,
        body,
        goes_below: false,
    };
    link.call(&commit, 0).await.unwrap();
    link.call(&EngineCall::Barrier { term, node: one }, 0).await.unwrap();
    for (of, asked) in
        [("began", "HGET {back:03}:t b"), ("cut", "HGET {back:03}:t m"), ("signs", "HGET {back:03}:s \"b 2 0.9 k\"")]
    {
        let said = ask(asked);
        let at: u64 = said.lines().nth(1).and_then(|line| line.trim().parse().ok()).unwrap_or_else(|| panic!("{of}: {said}"));
        assert!(at >= now && at < ahead - 1_800_000, "{of}: {at} of {now}");
    }
    let marks = ask("ZRANGE {back:03}:k 0 -1 WITHSCORES");
    assert!(!marks.contains(&ahead.to_string()), "{marks}");
}
