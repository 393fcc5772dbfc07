// Every text that the page gives to be pasted into a shell, or into another program's form. What stands in them comes from strangers: whoever may
// upload names objects, and whoever looks after the server pastes what he finds here. So each of them is made in this file, which needs no
// browser, and each thing that is put into one goes through `quote`, or through `part` where it is a part of an address.

/** One word for a shell, whatever is in it: sh, bash and zsh take all between single quotes as it stands, and of a "!" no history. */
export const quote = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;

/** A part of an address. What the standard's function leaves (!'()*) is escaped, too: an address ends nothing that it stands in. */
export const part = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);

/** An object's key, or the beginning of one, as the path that leads to it. */
export const pathOf = (key) => key.split("/").map(part).join("/");

/** JSON of which every sign is seen for what it is: none controls a terminal or turns the order of what is read. */
const json = (value) => JSON.stringify(value).replace(/[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** Where what happens is told as it happens. */
export const LIVE = "/v1/events/live";

/** A call of the admin API at `here`, in a shell where KEY is set; or with this very key. */
export function call({ method, path, body, headers = {} }, here, key) {
  // What is told as it happens is shown as it comes.
  const parts = [path === LIVE ? "curl -N" : "curl"];
  if (method !== "GET") parts.push("-X", method);
  parts.push("-H", key ? quote(`Authorization: Bearer ${key}`) : '"Authorization: Bearer $KEY"');
  for (const [name, value] of Object.entries(headers)) parts.push("-H", quote(`${name}: ${value}`));
  if (body !== undefined) parts.push("-H 'Content-Type: application/json' -d", quote(json(body)));
  parts.push(quote(here + path));
  return parts.join(" ");
}

/** What is done with a stream in a shell: labels and commands. `base` is where objects are served, `here` where the admin API is. */
export function ofStream({ namespace, key }, base, here) {
  const address = quote(`${base}/cache/${part(namespace)}/${pathOf(key)}`);
  return [
    ["curl", `curl ${address}"?token=$PLAYER_KEY"`],
    ["ffplay", `ffplay ${address}"?token=$PLAYER_KEY&inherit_token=1"`],
    ["doctor", `springhead doctor ${address} --key player_api_key.json`],
    ["harvest", call({ method: "POST", path: "/v1/harvest", body: { namespace, playlist: key, last: "10m", out: "clip" } }, here)],
  ];
}

/**
 * What a new key is pasted into, by its role: labels and texts. What they name lies below the key's prefix, and how long it is kept is left to the
 * namespace. `origin` is where objects are served, `here` where the admin API is.
 */
export function ofKey(made, namespace, origin, here) {
  const { api_key: key, ingest_user: user, ingest_password: password } = made;
  const { role, prefix } = made.key;
  const below = `/cache/${part(namespace)}`;
  const list = `${below}/${pathOf(prefix ?? "")}playlist.m3u8`;
  const host = new URL(origin).host;
  if (role === "readwrite") {
    return [
      ["MediaLive", `Destination URL  ${origin}${list}?role=origin\nUser name        momento\nPassword         ${key}\nCDN settings     HLS Akamai`],
      ["ffmpeg", `ffmpeg -re -f lavfi -i testsrc2=size=640x360:rate=30 -re -f lavfi -i sine=frequency=440 \\\n  -c:v libx264 -preset veryfast -tune zerolatency -g 60 -pix_fmt yuv420p -c:a aac \\\n  -f hls -method PUT -http_persistent 1 -hls_time 2 -hls_list_size 10 -hls_flags delete_segments \\\n  -headers ${quote(`Authorization: Bearer ${key}`)}$'\\r\\n' \\\n  ${quote(`${origin}${list}`)}`],
      ["OBS", `Custom output (FFmpeg), URL  ${origin.replace("://", `://${user}:${password}@`)}${list.replace(/playlist\.m3u8$/, "obs.m3u8")}\nContainer format             hls\nMuxer settings               method=PUT hls_time=2 hls_list_size=10 hls_flags=delete_segments`],
    ];
  }
  if (role === "readonly") {
    const address = `${origin}${list}?token=${part(key)}`;
    return [
      ["CloudFront", `Origin domain      ${host.split(":")[0]}\nProtocol, port     ${new URL(origin).protocol.slice(0, -1).toUpperCase()} only, ${new URL(origin).port || (origin.startsWith("https") ? 443 : 80)}\nOrigin path        ${below}\nAdd custom header  Authorization: ${key}`],
      ["curl", `curl ${quote(address)}`],
      ["ffplay", `ffplay ${quote(`${address}&inherit_token=1`)}`],
      ["VLC, Safari", `${address}&inherit_token=1`],
    ];
  }
  // A back end has viewers' tokens made; who looks on or changes something has begun when he sees what there is.
  if (role === "vendor") return [["curl", call({ method: "POST", path: `/v1/namespaces/${part(namespace)}/viewer-tokens`, body: { prefix: prefix ?? undefined } }, here, key)]];
  return [["curl", call({ method: "GET", path: "/v1/streams" }, here, key)]];
}
