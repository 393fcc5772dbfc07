//! What the real engine makes of words that all nodes know.

use super::super::valkey::PooledWords;
use super::*;

#[tokio::test]
async fn words_are_told_once_and_again_when_one_has_come_or_all_are_lost() {
    let server = ValkeyServer::start(&[]);
    let (one, other) = (server.engine("words").await, server.engine("words").await);
    let later = Clock::system().wall().millis() + 3_600_000;
    let words = |words: &[&str]| words.iter().map(|&word| (word.to_owned(), later)).collect::<Vec<_>>();
    let told = async |by: &Valkey, known: Option<&str>| {
        let PooledWords { mark, words } = by.words("list", known).await.unwrap();
        let words = words.map(|mut words| {
            words.sort();
            words.join(" ")
        });
        (mark, words)
    };
    assert_eq!(told(&one, None).await, (String::new(), Some(String::new())));
    one.add_words("list", &words(&["a", "b"])).await.unwrap();
    // What is over is told to nobody; and is no news.
    one.add_words("list", &[("over".to_owned(), 1)]).await.unwrap();
    let (first, all) = told(&other, Some("")).await;
    assert_eq!(all.as_deref(), Some("a b"));
    assert_eq!(told(&other, Some(&first)).await, (first.clone(), None));
    other.add_words("list", &words(&["a", "b"])).await.unwrap();
    assert_eq!(told(&one, Some(&first)).await, (first.clone(), None), "they were there");
    other.add_words("list", &words(&["c"])).await.unwrap();
    let (second, all) = told(&one, Some(&first)).await;
    assert!(second != first && all.as_deref() == Some("a b c"), "{second} {all:?}");
    // As nodes of earlier releases add them.
    let mut stream = TcpStream::connect(("127.0.0.1", server.address.servers[0].port)).unwrap();
    write!(stream, "ZADD {{words:00}}:p:list {later} d\r\nQUIT\r\n").unwrap();
    stream.read_to_string(&mut String::new()).unwrap();
    let (third, all) = told(&one, Some(&second)).await;
    assert_eq!(all.as_deref(), Some("a b c d"));
    // More than goes with one call.
    let many: Vec<String> = (0..2_500).map(|number| number.to_string()).collect();
    one.add_words("list", &words(&many.iter().map(String::as_str).collect::<Vec<_>>())).await.unwrap();
    assert_eq!(other.pool("list", &words(&["e"])).await.unwrap().len(), 2_505);
    let mut stream = TcpStream::connect(("127.0.0.1", server.address.servers[0].port)).unwrap();
    write!(stream, "FLUSHALL\r\nQUIT\r\n").unwrap();
    stream.read_to_string(&mut String::new()).unwrap();
    assert_eq!(told(&one, Some(&third)).await, (String::new(), Some(String::new())));
}
