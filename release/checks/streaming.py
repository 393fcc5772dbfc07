"""A live stream as a server's clients see it: what an encoder and two readers are answered, while the server behind the port is changed."""

import http.client
import threading
import time

SEGMENT = bytes([0x47]) + bytes(187)
SEGMENTS_A_SECOND = 5


class Stream:
    """An encoder that writes a segment and its playlist, and a reader that follows; every answer that is no success is a fault, and so is a
    playlist that has nothing new for three seconds."""

    def __init__(self, port, encoder, player, host="127.0.0.1"):
        self.host, self.port, self.keys = host, port, {"PUT": encoder, "GET": player}
        self.faults, self.counts, self.ended = [], {"PUT": 0, "GET": 0}, False
        self.threads = [threading.Thread(target=self.guarded, args=(part,), daemon=True) for part in (self.encoder, self.reader, self.reader)]

    def guarded(self, part):
        try:
            part()
        except Exception as error:  # Whatever it is: a client has seen it.
            self.faults.append(f"{part.__name__}: {error!r}")

    def ask(self, verb, path, body=None):
        # A connection for each, as ffmpeg does without -http_persistent: none is kept over the restart.
        connection = http.client.HTTPConnection(self.host, self.port, timeout=20)
        connection.request(verb, f"/cache/live-origin/{path}", body, {"Authorization": f"Bearer {self.keys[verb]}"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        self.counts[verb] += 1
        if answer.status not in (200, 204):
            self.faults.append(f"{verb} {path}: {answer.status} {text[:200]!r}")
        return text

    def start(self):
        for thread in self.threads:
            thread.start()

    def end(self):
        """What failed; nothing is taken for content unless enough was asked."""
        self.ended = True
        for thread in self.threads:
            thread.join(30)
        if min(self.counts.values()) < 50:
            self.faults.append(f"too little was asked to say anything: {self.counts}")
        return self.faults

    def encoder(self):
        number = 0
        while not self.ended:
            self.ask("PUT", f"{number}.ts", SEGMENT)
            first = max(0, number - 9)
            lines = [f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n"]
            lines += [f"#EXTINF:{1 / SEGMENTS_A_SECOND},\n{n}.ts\n" for n in range(first, number + 1)]
            self.ask("PUT", "live.m3u8", "".join(lines))
            number += 1
            time.sleep(1 / SEGMENTS_A_SECOND)

    def reader(self):
        newest, since = None, time.monotonic()
        time.sleep(1)
        while not self.ended:
            last = self.ask("GET", "live.m3u8").decode().split()[-1]
            if last != newest:
                self.ask("GET", last)
                newest, since = last, time.monotonic()
            elif time.monotonic() - since > 3:
                self.faults.append(f"nothing new after {newest} for 3 s")
                since = time.monotonic()
            time.sleep(0.1)
