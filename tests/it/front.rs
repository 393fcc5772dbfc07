//! nginx as a stand-in for a CDN, set up as the tutorial sets up Amazon CloudFront: an origin path, an Authorization header of its
//! own that replaces the viewer's, and three cache behaviours.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::{Origin, Process, eventually};
use crate::programs::{is_root, program};
use crate::wire::Request;

pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    folder: std::path::PathBuf,
    _process: Process,
}

impl Front {
    pub(crate) fn start(origin: &Origin) -> Self {
        let folder = origin.folder().join("front");
        fs::create_dir_all(&folder).unwrap();
        let port = free_port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        // As the tutorial has them: variant playlists with CachingDisabled and no origin request policy (no query, no viewer headers),
        // segments with CachingOptimized (the query is no part of the key) and AllViewer, and all else with CachingDisabled, AllViewer.
        let locations = r#"
            location ~ ^/playlist_[^/]*\.m3u8$ {
                include origin.conf;
                proxy_pass_request_headers off;
                proxy_pass http://origin/cache/live-origin$uri;
            }
            location ~ \.ts$ {
                include origin.conf;
                proxy_set_header Host $http_host;
                proxy_cache cache;
                proxy_cache_key $uri;
                proxy_cache_revalidate on;
                add_header X-Cache $upstream_cache_status;
                proxy_pass http://origin/cache/live-origin$uri$is_args$args;
            }
            location / {
                include origin.conf;
                proxy_set_header Host $http_host;
                proxy_pass http://origin/cache/live-origin$uri$is_args$args;
            }"#;
        let command = nginx(&folder, address, origin, locations);
        Self::run(folder, address, command)
    }

    /// The same before several nodes: where one does not answer, or has no time, another one is asked. What is put below `/ingest/` is
    /// stored, with the encoder's key.
    pub(crate) fn before(nodes: &[Origin]) -> Self {
        let folder = nodes[0].folder().join("front");
        fs::create_dir_all(&folder).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let servers: String = nodes.iter().map(|node| format!("server {} max_fails=1 fail_timeout=1s;", node.address)).collect();
        let (player, encoder) = (&nodes[0].player, &nodes[0].encoder);
        let http = format!(
            "upstream nodes {{ {servers} keepalive 8; }}
            proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_connect_timeout 300ms;
            proxy_next_upstream error timeout http_503; proxy_next_upstream_tries 3;
            server {{
                listen {address};
                location /ingest/ {{
                    proxy_set_header Authorization \"{encoder}\"; proxy_set_header Connection \"\";
                    proxy_pass http://nodes/cache/live-origin/;
                }}
                location / {{
                    proxy_set_header Authorization \"{player}\"; proxy_set_header Connection \"\";
                    proxy_pass http://nodes/cache/live-origin$uri$is_args$args;
                }}
            }}"
        );
        let command = nginx_with(&folder, &http);
        Self::run(folder, address, command)
    }

    /// nginx by this command, whose files are in this folder, as soon as it answers.
    pub(crate) fn run(folder: std::path::PathBuf, address: SocketAddr, mut command: Command) -> Self {
        let process = Process(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let up = eventually(Duration::from_secs(10), || std::net::TcpStream::connect(address).ok());
        let errors = || fs::read_to_string(folder.join("error.log")).unwrap_or_default();
        assert!(up.is_some(), "nginx does not come up:\n{}", errors());
        Self { address, folder, _process: process }
    }

    pub(crate) fn get(&self, path: &str) -> crate::wire::Answer {
        Request::new("GET", path).send(self.address)
    }

    pub(crate) fn url(&self, key: &str) -> String {
        format!("http://{}/{key}", self.address)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        // The master ends its workers when it is told to; killed, it would leave them behind.
        if let Ok(pid) = fs::read_to_string(self.folder.join("pid")) {
            let _ = Command::new("kill").args(["-TERM", pid.trim()]).status();
            let _ = eventually(Duration::from_secs(5), || (!self.folder.join("pid").exists()).then_some(()));
        }
    }
}

/// nginx in front of an origin, whose requests are made as `include origin.conf;` in a location says: on kept connections, with the
/// player's key. `cache` and `origin` are the zone and the upstream that locations may name.
pub(crate) fn nginx(folder: &Path, address: SocketAddr, origin: &Origin, locations: &str) -> Command {
    let (dir, upstream, key) = (folder.display(), origin.address, &origin.player);
    let to_origin = format!("proxy_set_header Connection \"\";\nproxy_set_header Authorization \"{key}\";\n");
    fs::write(folder.join("origin.conf"), to_origin).unwrap();
    let http = format!(
        "proxy_cache_path {dir}/cache keys_zone=cache:1m;
        upstream origin {{ server {upstream}; keepalive 8; }}
        server {{
            listen {address};
            proxy_http_version 1.1;
            {locations}
        }}"
    );
    nginx_with(folder, &http)
}

/// nginx by these words within its `http`, with all that it writes in a folder of its own.
pub(crate) fn nginx_with(folder: &Path, http: &str) -> Command {
    let user = if is_root() { "user root;" } else { "" };
    let dir = folder.display();
    let config = format!(
        "{user} daemon off; pid {dir}/pid; error_log {dir}/error.log warn;
        events {{ worker_connections 512; }}
        http {{
            access_log {dir}/access.log;
            client_body_temp_path {dir}/body; proxy_temp_path {dir}/temp; fastcgi_temp_path {dir}/f;
            uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
            {http}
        }}"
    );
    fs::write(folder.join("nginx.conf"), config).unwrap();
    let mut command = program("nginx");
    command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf")).arg("-e").arg(folder.join("error.log"));
    command
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
