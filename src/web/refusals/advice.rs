//! What a person who knows encoders would say to a refused upload.

/// By the problem's code. `succeeds` says whether the same client has had an upload accepted since.
pub(super) fn advice(code: &str, succeeds: bool) -> &'static str {
    match code {
        "no-credentials" if succeeds => {
            "Nothing to do: this client asks first and sends its key when it is asked (ffmpeg with user:pass@ in the URL, \
             GStreamer and curl --anyauth do), and its uploads are accepted."
        }
        "no-credentials" => {
            "The encoder sends no credentials. In AWS Elemental MediaLive set CDN settings to HLS Akamai, enter any user name \
             and the readwrite key as the password. With ffmpeg give -headers $'Authorization: Bearer KEY\\r\\n', or \
             http://any:KEY@HOST/... as the address."
        }
        "bad-credentials" => {
            "The encoder sends a key, and it is not good: 'reason' says why. Compare it with encoder_api_key.json by \
             'springhead keys inspect'; look for a cut-off end, a line break or quotes that were pasted along, an expired or \
             revoked key, or one of another server. Make a new one with 'springhead keys create --role readwrite --namespace \
             NAME'."
        }
        "forbidden" => {
            "The key is good, but not for this. Uploads and deletions take role readwrite, and the key has to be made for \
             this namespace and, if it has a prefix, for this object: see 'springhead keys inspect'. Is the player's key in \
             the encoder?"
        }
        "unknown-namespace" => {
            "The URL's /cache/{namespace} is not configured. Correct it in the encoder's destination, or add the namespace to \
             the server's settings."
        }
        "no-such-place" => {
            "The destination's path is wrong: it is /cache/{namespace}/{name}, as in /cache/live-origin/playlist.m3u8."
        }
        "too-large" => {
            "The segment is larger than the namespace's max_object_size. Shorten the segments, lower the top bitrate, or \
             raise max_object_size; 'springhead size' does the arithmetic."
        }
        "ttl-out-of-range" => "Lower ttl_seconds in the encoder's destination URL, or raise the namespace's max_ttl.",
        "incomplete-body" => {
            "The connection broke before the object was whole: look at the encoder's uplink and at proxies in between. When \
             every upload ends so, its Content-Length is wrong or something in between cuts it off."
        }
        "stalled-body" => {
            "The encoder stopped sending in the middle of an object. Look at its uplink and its load; if its segments grow in \
             real time, raise timeouts.upload_idle."
        }
        "slow-body" => {
            "The upload took longer than timeouts.upload_total. Look at the encoder's uplink; shorten the segments or lower the \
             bitrate; if its segments grow in real time for longer than that, raise the limit."
        }
        "too-many-bytes-in-flight" => {
            "Too many uploads at once. The encoder tries again by itself; if it lasts, raise max_in_flight, or look for \
             clients that upload slowly."
        }
        "precondition-failed" => {
            "The encoder writes under a condition (If-Match, If-None-Match) that does not hold: do two encoders \
             write to one name?"
        }
        "transfer-coding" => "Turn off compression of uploads in the encoder: a body comes with Content-Length or plain chunked.",
        "method-not-allowed" => {
            "The encoder uses a verb this server does not have. Choose plain HTTP PUT; in AWS Elemental MediaLive set CDN \
             settings to HLS Akamai."
        }
        "bad-request" => "The request can't be understood: 'detail' says which part of it.",
        _ => "See 'detail'.",
    }
}
