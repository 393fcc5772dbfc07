//! The dashboards, asked as Grafana asks: Prometheus reads a server at work, and every query of every panel returns series.

use std::fs;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::front::free_port;
use crate::harness::{Finally, Origin, Process, eventually};
use crate::observability::exercise;
use crate::programs::program;
use crate::wire::Request;

/// Every dashboard there is, by its file's name.
pub(crate) fn dashboards() -> Vec<(String, Value)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config");
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names = names.filter(|name| name.starts_with("grafana") && name.ends_with(".json"));
    let read = |name: String| (serde_json::from_str(&fs::read_to_string(format!("{folder}/{name}")).unwrap()).unwrap(), name);
    names.map(read).map(|(dashboard, name)| (name, dashboard)).collect()
}

/// The queries of a dashboard by their panel's title, with variables as it begins: everything.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().unwrap();
            let query = query.replace("$instance", ".*").replace("$namespace", ".*").replace("$__rate_interval", "10s");
            // Some panels show only what is not as it should be; that it is asked for rightly can be seen without.
            let query = query.trim_end_matches(" > 0").trim_end_matches(" == 0").to_owned();
            assert!(!query.contains('$'), "a variable that is not known: {query}");
            found.push((panel["title"].as_str().unwrap_or_default().to_owned(), query));
        }
    }
    found
}

/// How many series a query returns; an error is one that can't be asked.
fn ask(prometheus: SocketAddr, query: &str) -> usize {
    let escaped: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let answer = Request::new("GET", format!("/api/v1/query?query={escaped}")).send(prometheus);
    let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    assert_eq!(told["status"], "success", "{query}: {}", answer.text());
    told["data"]["result"].as_array().map_or(0, Vec::len)
}

#[test]
fn every_query_of_the_dashboards_returns_series() {
    let origin = Origin::start_with(&["--access-log", "stderr"]);
    let folder = origin.folder().join("prometheus");
    fs::create_dir(&folder).unwrap();
    let settings = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n  - job_name: springhead\n    static_configs: [{{targets: ['{}']}}]\n",
        origin.admin
    );
    fs::write(folder.join("prometheus.yml"), settings).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut prometheus = program("prometheus");
    prometheus.current_dir(&folder).args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=error"]);
    prometheus.arg(format!("--web.listen-address={address}")).stdin(Stdio::null());
    let _prometheus = Process(prometheus.spawn().unwrap());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                exercise(&origin);
                origin.get("none.ts");
                thread::sleep(Duration::from_millis(300));
            }
        });
        let _finally = Finally(&stop);
        let is_up = || Request::new("GET", "/-/ready").try_send(address).filter(|answer| answer.status == 200);
        assert!(eventually(Duration::from_secs(60), is_up).is_some(), "Prometheus comes up");
        let mut left: Vec<_> = dashboards().iter().flat_map(|(_, dashboard)| queries(dashboard)).collect();
        assert!(left.len() > 100, "{} queries", left.len());
        let all = eventually(Duration::from_secs(60), || {
            left.retain(|(_, query)| ask(address, query) == 0);
            left.is_empty().then_some(())
        });
        assert!(all.is_some(), "nothing comes of {left:#?}");
    });
    assert_eq!(ask(address, "no_such_series"), 0);
}
