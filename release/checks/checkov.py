"""What checkov finds in the Terraform, the manifests and the Dockerfile: nothing but what is named here, each with the reason why it stays."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
STAYS = {
    "terraform": (["-d", "deploy/terraform"], {
        "CKV_AWS_174": "the distribution's own certificate allows no other setting; with one of yours comes minimum_protocol_version",
        "CKV2_AWS_42": "the same: a name of your own is yours to add",
        "CKV_AWS_68": "a firewall in front of public video costs for each request; whoever has one names it in web_acl_id",
        "CKV2_AWS_47": "the same",
        "CKV_AWS_86": "logs need a bucket, which is yours; Springhead has an access log of what gets to it",
        "CKV_AWS_374": "who may watch where is a right of the programme's, not of the origin's",
        "CKV_AWS_310": "there is one origin; a second one is what docs/migrating.md adds while both are there",
        "CKV_AWS_305": "there is no page at the root: players open a playlist by its name",
        "CKV2_AWS_32": "the origin sends CORS headers with every answer, errors included",
        "CKV_AWS_337": "the account's own key is what MediaLive's role may use as it comes from its template",
    }),
    "kubernetes": (["-f", "deploy/kustomize/base/springhead.yaml"], {
        "CKV_K8S_21": "the namespace is the release's or the overlay's",
        "CKV_K8S_11": "a throttled origin stalls its streams: memory is limited, processor time is not",
        "CKV_K8S_43": "the image is built and named by who installs it; the overlay takes a digest",
        "CKV_K8S_15": "the same: a tag that is never moved needs no other pull",
    }),
    "dockerfile": (["-f", "Dockerfile"], {}),
}


def failed(framework, where):
    command = ["checkov", *where, "--framework", framework, "--compact", "--quiet", "--skip-download", "-o", "json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    told = json.loads(done.stdout)
    results = told.get("results", {}).get("failed_checks", [])
    if not told.get("summary", {}).get("passed") and not told.get("passed"):
        sys.exit(f"checkov has looked at nothing: {done.stdout[:2000]}{done.stderr[:2000]}")
    return {one["check_id"]: f"{one['check_name']}: {one['resource']}" for one in results}


def main():
    faults = []
    for framework, (where, stays) in STAYS.items():
        found = failed(framework, where)
        faults += [f"{framework}: {check} {about}" for check, about in found.items() if check not in stays]
        faults += [f"{framework}: {check} is no longer found: take it out here" for check in stays if check not in found]
    if faults:
        sys.exit("\n".join(faults))
    print(f"checkov: {sum(len(stays) for _, stays in STAYS.values())} findings, each with its reason")


if __name__ == "__main__":
    main()
