//! Who is a member: as long as it gives signs, and what is waited for.

use super::*;

/// By the clock of the real one, whose records of signs are set back.
#[tokio::test]
async fn who_is_silent_is_a_member_no_more_and_has_to_come_again() {
    let server = ValkeyServer::start(&[]);
    let engine = server.engine("signs").await;
    let mut link = engine.link(LANE, &server.address.servers[0]).await.unwrap();
    let [one, two, twin] = ["a 1 0.9 k", "b 2 0.9 k", "a 3 0.9 k"];
    let takeover = EngineCall::Takeover { line: 7, known: Version::default(), floor: 0, node: Node::from(one), heard: 0 };
    let taken = link.call(&takeover, 0).await.unwrap();
    let Reply::Taken(TakenTerm { newest: Version { term, .. }, .. }) = taken.reply else { panic!("{taken:?}") };
    let members = |reply: Reply| match reply {
        Reply::Gate { members, .. } | Reply::Barrier { members, .. } => {
            members.into_iter().map(|(node, line)| format!("{node}: {line}")).collect::<Vec<_>>().join(", ")
        }
        reply => format!("{reply:?}"),
    };
    let was_silent = |node: &str, millis: u64| {
        let at = Clock::system().wall().millis() - millis;
        let mut stream = TcpStream::connect(("127.0.0.1", server.address.servers[0].port)).unwrap();
        write!(stream, "HSET {{signs:03}}:s \"{node}\" {at}\r\nQUIT\r\n").unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.starts_with(":0"), "{said}");
    };
    let mut ask = async |asks: &str, node: &str| {
        let node = Node::from(node);
        let call = match asks {
            "gate" => EngineCall::Gate { term, node },
            _ => EngineCall::Barrier { term, node },
        };
        members(link.call(&call, 0).await.unwrap().reply)
    };
    assert_eq!(ask("barrier", one).await, "OtherTerm", "it has not come through the gate");
    assert_eq!(ask("gate", one).await, "a 1 0.9 k: 7");
    assert_eq!(ask("gate", two).await, "a 1 0.9 k: 0, b 2 0.9 k: 7", "the one has not been told of the other");
    assert_eq!(ask("barrier", one).await, "a 1 0.9 k: 7, b 2 0.9 k: 7");
    assert_eq!(ask("gate", two).await, "a 1 0.9 k: 7, b 2 0.9 k: 7");
    // Another process of that name, while the first one lives; and when it does no more.
    assert_eq!(ask("gate", twin).await, "a 1 0.9 k: 0, a 3 0.9 k: 7, b 2 0.9 k: 0");
    assert!(ask("barrier", twin).await.contains("a 1 0.9 k"));
    was_silent(one, 3_000);
    was_silent(two, 3_000);
    assert_eq!(ask("barrier", twin).await, "a 3 0.9 k: 7, b 2 0.9 k: 7");
    assert_eq!(ask("barrier", one).await, "OtherTerm");
    was_silent(two, 6_000);
    assert_eq!(ask("barrier", twin).await, "a 3 0.9 k: 7");
    assert_eq!(ask("barrier", two).await, "OtherTerm");
    assert_eq!(ask("gate", two).await, "a 3 0.9 k: 0, b 2 0.9 k: 7");
}

/// By the clock of the real one, whose record of a sign is set back.
#[tokio::test]
async fn who_tells_what_it_holds_is_waited_for() {
    let server = ValkeyServer::start(&[]);
    let engine = server.engine("tells").await;
    let mut link = engine.link(LANE, &server.address.servers[0]).await.unwrap();
    let taken = link.call(&takeover(7, 0), 0).await.unwrap();
    let Reply::Taken(TakenTerm { newest: Version { term, .. }, is_first: true, .. }) = taken.reply else { panic!("{taken:?}") };
    let [one, two] = ["one", "two"].map(Node::from);
    let mut ask = async |call: EngineCall| match link.call(&call, 0).await.unwrap().reply {
        Reply::Gate { members, are_telling, .. } => (members.get("two").copied(), are_telling),
        _ => (None, false),
    };
    let gate = |node: &Node| EngineCall::Gate { term, node: Node::clone(node) };
    assert_eq!(ask(gate(&one)).await, (None, false), "nobody else has come");
    ask(EngineCall::Takeover { line: 7, known: Version::default(), floor: 0, node: Node::clone(&two), heard: 0 }).await;
    assert_eq!(ask(gate(&one)).await, (Some(0), true), "it has come, and asserted nothing yet");
    let silent = async || {
        let at = Clock::system().wall().millis() - 2_000;
        let mut stream = TcpStream::connect(("127.0.0.1", server.address.servers[0].port)).unwrap();
        write!(stream, "HSET {{tells:03}}:s two {at}\r\nQUIT\r\n").unwrap();
        stream.read_to_string(&mut String::new()).unwrap();
    };
    silent().await;
    assert_eq!(ask(gate(&one)).await, (Some(0), false));
    ask(EngineCall::Assert { term, node: Node::clone(&two), held: Vec::new() }).await;
    assert_eq!(ask(gate(&one)).await, (Some(0), true), "it has told something");
    ask(gate(&two)).await;
    silent().await;
    assert_eq!(ask(gate(&one)).await, (Some(7), false), "it has told everything");
}
