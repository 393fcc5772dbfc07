"""A server that is tried: given an upload and a stream, read from; and a program that is started for that, asked for its health, told to end."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Reached:
    """A server, on a port of 127.0.0.1, whose first keys are in files in `data`."""

    def __init__(self, port, data):
        self.port, self.data = port, data

    def key(self, name):
        return json.loads((self.data / f"{name}_api_key.json").read_text())["api_key"]

    def ask(self, verb, path, body=None, key=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=body, method=verb)
        if key:
            request.add_header("Authorization", f"Bearer {key}")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=20) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return None, b""

    def status(self, *arguments):
        return self.ask(*arguments)[0]

    def takes_an_upload(self):
        """The faults of a PUT and a GET."""
        path, body = "/cache/live-origin/check.ts", os.urandom(100_000)
        faults = []
        if (status := self.status("PUT", path, body)) != 401:
            faults.append(f"a PUT without a key is answered {status}")
        if (status := self.status("PUT", path, body, self.key("encoder"))) != 204:
            faults.append(f"a PUT is answered {status}")
        if self.ask("GET", path, key=self.key("player")) != (200, body):
            faults.append("what was put is not there")
        self.kept = body
        return faults

    def still_has(self, body):
        return self.ask("GET", "/cache/live-origin/check.ts", key=self.key("player")) == (200, body)

    def plays_a_stream(self):
        """The faults of the README's first stream: a test picture by ffmpeg, played as one pasted URL."""
        url = f"http://127.0.0.1:{self.port}/cache/live-origin/first/playlist.m3u8"
        push = "ffmpeg -v error -nostdin -re -f lavfi -i testsrc2=size=320x180:rate=30 -re -f lavfi -i sine=frequency=440 -t 8 -c:v libx264 " \
               "-preset ultrafast -tune zerolatency -g 60 -pix_fmt yuv420p -c:a aac -f hls -method PUT -http_persistent 1 -hls_time 2 -hls_list_size 10"
        pushed = subprocess.run([*push.split(), "-headers", f"Authorization: Bearer {self.key('encoder')}\r\n", url], capture_output=True, text=True, timeout=120)
        probe = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", f"{url}?token={self.key('player')}&inherit_token=1"]
        played = subprocess.run(probe, capture_output=True, text=True, timeout=60)
        if pushed.returncode or not {"h264", "aac"} <= set(played.stdout.split()):
            return [f"the first stream does not play: {pushed.stderr}{played.stdout}{played.stderr}"]
        return []


class Served(Reached):
    """A server that is started. `command` starts the program; `inside` is the data directory as it sees it, `data` as we do."""

    def __init__(self, command, data, inside=None, extra=None):
        super().__init__(free_port(), data)
        self.command, self.admin = command, free_port()
        self.environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "SPRINGHEAD_LISTEN": f"127.0.0.1:{self.port}",
            "SPRINGHEAD_ADMIN_LISTEN": f"127.0.0.1:{self.admin}",
            "SPRINGHEAD_DATA_DIR": str(inside or data),
            "SPRINGHEAD_NAMESPACE": "live-origin=64MiB",
            **(extra or {}),
        }
        self.process = None

    def run(self, *arguments):
        return subprocess.run([*self.command, *arguments], env=self.environment, capture_output=True, text=True, timeout=60)

    def __enter__(self):
        self.process = subprocess.Popen([*self.command, "serve"], env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        limit = time.monotonic() + 60
        while self.status("GET", "/readyz") != 200:
            if self.process.poll() is not None or time.monotonic() > limit:
                self.process.kill()
                raise SystemExit(f"it does not come up: {self.process.stderr.read()}")
            time.sleep(0.1)
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()

    def end(self):
        """The exit status after SIGTERM, and how long it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40), time.monotonic() - began
