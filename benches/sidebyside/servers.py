"""Springhead and its rivals, each started on one core and set up as its users do."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from .machine import BINARY, LOAD, ROOT, SERVER_CORE, WEED, file_system, free_port, tree, which

GET, PUT, TLS_GET, TLS_PUT = "get", "put", "tls get", "tls put"


class Server:
    """A process tree that listens. `name` is what it is called in the results."""
    name, does = "", ()
    base, read, write, is_redis, tls_port = "/", {}, {}, False, None
    # Where the bytes lie that it serves or takes.
    bytes_in = "memory"
    cores = SERVER_CORE

    def launch(self, command, folder, environment=None):
        self.folder = folder
        self.log = folder / "out.txt"
        command = ["taskset", "-c", self.cores, *[str(part) for part in command]]
        out = self.log.open("w")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder,
                                        env={**os.environ, **(environment or {})})

    def until(self, what, seconds=30):
        """Waits until `what` answers something true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                if found := what():
                    return found
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.05)
        said = " ".join(self.log.read_text().split())[-400:]
        raise RuntimeError(f"{self.name} does not come up: {said}")

    @property
    def pids(self):
        return tree(self.process.pid)

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        answer.body = answer.read()
        connection.close()
        return answer

    def put(self, key, body):
        answer = self.ask("PUT", self.base + key, body, self.write)
        if answer.status not in (200, 201, 204):
            raise RuntimeError(f"{self.name}: PUT was answered {answer.status}: {answer.body[:200]}")

    def prepare(self, key, body):
        """Makes `key` readable. A cache fetches it from the origin behind it."""
        self.put(key, body)

    def etag(self, key):
        return self.ask("GET", self.base + key, headers=self.read).getheader("ETag")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def has_durable_tier(binary=BINARY):
    """Whether this build can keep objects on disk too."""
    text = subprocess.run([binary, "config", "default"], capture_output=True, text=True, check=True).stdout
    return re.search(r"^durable = ", text, re.M) is not None


class Springhead(Server):
    """The shipped binary. A namespace's capacity is what its user has to choose anyway; all else is as shipped, but for the
    durable tier, which is off unless asked for: the rivals keep nothing either."""
    name, does, base = "Springhead", (GET, PUT, TLS_GET, TLS_PUT), "/cache/live-origin/"

    def __init__(self, folder, capacity="1GiB", certificate=None, durable=False, binary=BINARY, settings="", of_namespace="", cores=SERVER_CORE):
        """`settings` and `of_namespace`: more lines for its file, before all tables and in the namespace's."""
        folder.mkdir()
        self.cores = cores
        settings = settings and f"{settings}\n"
        if certificate:
            settings += f'[tls]\nlisten = ["127.0.0.1:0"]\ncertificate = "{certificate}"\nkey = "{certificate}"\n'
        settings += f'[namespaces.live-origin]\nhot_capacity = "{capacity}"\n{of_namespace}\n'
        # What is kept on disk is kept on a disk, not in the memory that the rest of a run lives in.
        data = folder / "data"
        if has_durable_tier(binary):
            if durable:
                self.name = "Springhead, durable"
                data = on_disk(folder.name)
                self.bytes_in = f"memory and {file_system(data)}"
            else:
                # A table of the namespace's own may have begun since.
                settings = settings.replace("[namespaces.live-origin]\n", '[namespaces.live-origin]\ndurable = "off"\n')
        (folder / "springhead.toml").write_text(settings)
        self.data = data
        self.begin(binary, folder)
        key = lambda name: json.loads((data / f"{name}_api_key.json").read_text())["api_key"]
        self.write, self.read = ({"Authorization": f"Bearer {key(name)}"} for name in ("encoder", "player"))

    def begin(self, binary, folder):
        self.launch([binary, "serve", "--config", folder / "springhead.toml", "--data-dir", self.data, "--listen", "127.0.0.1:0",
                     "--admin-listen", "127.0.0.1:0", "--log-format", "json"], folder)
        self.until(lambda: self.logged("started"))
        for line in self.logged("listening"):
            port = int(line["address"].rsplit(":", 1)[1])
            if line.get("tls"):
                self.tls_port = port
            else:
                self.port = port
        self.admin = self.logged("started")[0]["admin_address"]

    def logged(self, message):
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in map(json.loads, lines) if line["message"] == message]

    def metric(self, pattern):
        connection = http.client.HTTPConnection(self.admin, timeout=10)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        found = re.search(pattern + r" ([\d.e+]+)$", text, re.M)
        return float(found[1]) if found else None

    def flushed(self):
        """Waits until nothing is left to be written to the tier below; says how many writes were given up, because too much waited."""
        name = r'springhead_durable_{}\{{[^}}]*{}\}}'
        end = time.monotonic() + 60
        while self.metric(name.format("waiting_changes", "")) and time.monotonic() < end:
            time.sleep(0.02)
        return int(self.metric(name.format("writes_total", 'outcome="given_up"')) or 0)

    def stop(self):
        super().stop()
        from_disk(self.data)


def from_disk(folder):
    """Removes what `on_disk` has made."""
    if folder.parts[-2:-1] == ("durable",):
        shutil.rmtree(folder, ignore_errors=True)


def on_disk(name):
    """An empty folder on a disk, and not in the memory that the rest of a run lives in."""
    folder = ROOT / "target/compare/durable" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


class Nginx(Server):
    """dav and sendfile, one worker. It checks no key. `live`: without the cache of open files, which would show old
    playlists for as long as it holds them."""
    name, does = "nginx", (GET, PUT, TLS_GET, TLS_PUT)

    def __init__(self, folder, certificate=None, live=False):
        for name in ("root", "temp"):
            (folder / name).mkdir(parents=True)
        self.bytes_in = file_system(folder)
        self.port = free_port()
        user = "user root;" if os.getuid() == 0 else ""
        cache = "" if live else "open_file_cache max=1000 inactive=60s;"
        tls = ""
        if certificate:
            self.tls_port = free_port()
            tls = (f"listen 127.0.0.1:{self.tls_port} ssl backlog=4096; ssl_protocols TLSv1.3;"
                   f"ssl_certificate {certificate}; ssl_certificate_key {certificate};")
        (folder / "nginx.conf").write_text(f"""
            {user} worker_processes 1; worker_rlimit_nofile 20000; daemon off; pid {folder}/pid; error_log {folder}/error.log;
            events {{ worker_connections 16384; }}
            http {{
                access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 600s;
                {cache} types {{ video/mp2t ts; application/vnd.apple.mpegurl m3u8; }}
                client_max_body_size 20m; client_body_temp_path {folder}/temp;
                proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
                server {{
                    listen 127.0.0.1:{self.port} backlog=4096; {tls} root {folder}/root;
                    location / {{ dav_methods PUT DELETE; }}
                }}
            }}""")
        self.launch([which("nginx"), "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"], folder)
        self.until(lambda: self.ask("GET", "/none").status == 404)

    def stop(self):
        super().stop()
        from_disk(self.folder)


class Varnish(Server):
    """In front of nginx, which it asks once."""
    name, does = "Varnish", (GET,)

    def __init__(self, folder, origin):
        folder.mkdir()
        self.port, self.origin = free_port(), origin
        (folder / "cache.vcl").write_text(
            f'vcl 4.1;\nbackend default {{ .host = "127.0.0.1"; .port = "{origin.port}"; }}\n'
            "sub vcl_backend_response { set beresp.ttl = 1h; }\n")
        self.launch([which("varnishd"), "-F", "-j", "none", "-a", f"127.0.0.1:{self.port}", "-s", "malloc,1g",
                     "-f", folder / "cache.vcl", "-n", folder / "work"], folder)
        self.until(lambda: self.ask("GET", "/none").status == 404)

    def prepare(self, key, body):
        for _ in range(3):
            if self.ask("GET", self.base + key).body != body:
                raise RuntimeError(f"{self.name} does not pass on what is behind it")


class TrafficServer(Varnish):
    """In front of nginx, with one event thread and a cache in memory."""
    name, does = "Traffic Server", (GET, TLS_GET)

    def __init__(self, folder, origin, certificate):
        for name in ("etc", "cache", "log", "run"):
            (folder / name).mkdir(parents=True)
        self.port, self.tls_port, self.origin = free_port(), free_port(), origin
        at, user = folder, "trafficserver" if os.getuid() == 0 else "#-1"
        files = {
            "runroot.yaml": f"prefix: {at}\nsysconfdir: {at}/etc\nlocalstatedir: {at}/run\nruntimedir: {at}/run\nlogdir: {at}/log\n"
                            f"cachedir: {at}/cache\ndatadir: {at}/cache\nbindir: /usr/bin\n"
                            "libexecdir: /usr/lib/trafficserver/modules\n",
            "etc/records.config": "".join(f"CONFIG proxy.config.{line}\n" for line in (
                f"http.server_ports STRING {self.port}:ip-in=127.0.0.1 {self.tls_port}:ssl:ip-in=127.0.0.1",
                f"admin.user_id STRING {user}", "exec_thread.autoconfig INT 0", "exec_thread.limit INT 1",
                "cache.ram_cache.size INT 536870912", "http.wait_for_cache INT 2", "http.cache.required_headers INT 0",
                "http.cache.heuristic_min_lifetime INT 3600", "log.logging_enabled INT 0",
                f"ssl.server.cert.path STRING {at}/etc", f"ssl.server.private_key.path STRING {at}/etc")),
            "etc/remap.config": f"map / http://127.0.0.1:{origin.port}/\n",
            "etc/storage.config": f"{at}/cache 256M\n",
            "etc/plugin.config": "",
            "etc/ssl_multicert.config": "dest_ip=* ssl_cert_name=both.pem ssl_key_name=both.pem\n",
            "etc/ip_allow.yaml": "ip_allow:\n  - {apply: in, ip_addrs: 127.0.0.1, action: allow, methods: ALL}\n",
        }
        for name, text in files.items():
            (folder / name).write_text(text)
        shutil.copy(certificate, folder / "etc/both.pem")
        if os.getuid() == 0:
            # Started by root it becomes another user, who needs the folder.
            subprocess.run(["chown", "-R", "trafficserver", folder], check=True)
            for part in (folder, folder.parent):
                part.chmod(0o755)
        self.launch([which("traffic_server"), f"--run-root={folder}/runroot.yaml"], folder)
        self.until(lambda: self.ask("GET", "/none").status == 404)


class S3(Server):
    """SeaweedFS with its S3 gateway, all of it in one process, on tmpfs, without accounts."""
    name, does, base = "S3 (SeaweedFS)", (GET, PUT), "/live/"

    def __init__(self, folder):
        folder.mkdir()
        self.bytes_in = file_system(folder)
        ports = {name: free_port() for name in ("master.port", "volume.port", "filer.port", "s3.port")}
        ports |= {f"{name}.grpc": free_port() for name in ports}
        self.port = ports["s3.port"]
        self.launch([WEED, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3",
                     "-master.volumeSizeLimitMB=64", "-volume.max=100", "-master.telemetry=false",
                     *[f"-{name}={port}" for name, port in ports.items()]], folder)
        self.until(lambda: self.ask("PUT", "/live").status in (200, 409), 60)

        def takes():
            return self.ask("PUT", "/live/try", b"x").status == 200
        self.until(takes, 60)


class Redis(Server):
    """The floor for store work: its own protocol, no HTTP, nothing kept on disk."""
    name, does, base, is_redis = "redis", (GET, PUT), "", True

    def __init__(self, folder):
        folder.mkdir()
        self.port = free_port()
        self.launch([which("redis-server"), "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                     "--dir", folder], folder)
        self.until(lambda: "Ready to accept" in self.log.read_text())

    def prepare(self, key, body):
        import socket
        with socket.create_connection(("127.0.0.1", self.port)) as stream:
            stream.sendall(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(key), key.encode(), len(body), body))
            if not stream.recv(100).startswith(b"+OK"):
                raise RuntimeError("redis refuses SET")


class Writer(Server):
    """The physical limit: reads to the end of a head, writes bytes of one size."""
    name, does = "bare socket writer", (GET,)

    def __init__(self, folder, size, pieces=1, seconds=2.0):
        """`pieces`: it writes its answer in so many, which take so many seconds together."""
        folder.mkdir()
        self.size = size
        self.launch([LOAD, "writer", f"body={size}", f"pieces={pieces}", f"seconds={seconds}"], folder)
        self.port = int(self.until(lambda: self.log.read_text().strip()))


def certificate(folder):
    """A certificate and its key in one file: ECDSA on P-256, what everyone's tools make."""
    path, key = folder / "both.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", key, "-out", folder / "cert.pem"], check=True, capture_output=True)
    path.write_text((folder / "cert.pem").read_text() + key.read_text())
    path.chmod(0o644)
    return path
