"""Looks after a server by a client that was generated from the description of its API, and by nothing else.

    client.py CLIENT_FOLDER ADMIN_ADDRESS < KEY

CLIENT_FOLDER has the generated package in it, as `client`. Says on standard output, as one JSON object, what came of each step.
"""

import json
import sys

sys.path.insert(0, sys.argv[1])

from client import AuthenticatedClient  # noqa: E402
from client.api.default import (  # noqa: E402
    delete_v1_keys_id,
    delete_v1_namespaces_name,
    get_v1_namespaces_name,
    get_v1_objects,
    get_v1_overview,
    post_v1_keys,
    put_v1_namespaces_name,
)
from client.models import KeyOrder, NamespaceRules  # noqa: E402

api = AuthenticatedClient(base_url=f"http://{sys.argv[2]}", token=sys.stdin.read().strip())
said = {}

rules = NamespaceRules.from_dict({"default_ttl": "5m", "hot_capacity": "64MiB"})
made = put_v1_namespaces_name.sync("made-by-client", client=api, body=rules)
said["namespace"] = [made.name, made.source, made.rules["default_ttl"]]

order = KeyOrder(role="readwrite", namespaces=["made-by-client"], label="made by a client")
key = post_v1_keys.sync(client=api, body=order)
said["key"] = [key.key.role, key.key.status, key.key.label, key.api_key]
said["revoked"] = delete_v1_keys_id.sync(key.key.key_id, client=api).status

page = get_v1_objects.sync(client=api, namespace="live-origin", prefix="show/", limit=1)
said["objects"] = [[one.key for one in page.objects], page.next_]
said["trouble_count"] = get_v1_overview.sync(client=api).trouble_count

etag = get_v1_namespaces_name.sync("made-by-client", client=api).etag
# The condition is a header that every HTTP client has; the description's own words are the path and the query.
removed = delete_v1_namespaces_name.sync_detailed("made-by-client", client=api.with_headers({"If-Match": etag}))
said["removed"] = int(removed.status_code)
absent = get_v1_namespaces_name.sync("made-by-client", client=api)
said["absent"] = [absent.status, absent.type_]

json.dump(said, sys.stdout)
