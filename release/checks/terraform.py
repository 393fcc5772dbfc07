"""The Terraform of deploy/terraform: parsed, and held equal to config/cloudfront.yaml: parameters with their defaults, the origin, each behaviour,
what is kept of errors. Terraform itself is not to be had everywhere, so it was never applied."""

import re
import sys
from pathlib import Path

import hcl2
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "deploy/terraform"
TEMPLATE = ROOT / "config/cloudfront.yaml"
# CloudFormation's parameters that have another form here.
RENAMED = {"ForwardViewerHost": "forward_viewer_host", "PlaylistCaching": "cache_playlists", "OriginHttpPort": "origin_http_port",
           "OriginHttpsPort": "origin_https_port", "FragmentedMp4": "fragmented_mp4", "ViewerTokens": "viewer_tokens"}
SAME = {"yes": True, "no": False, "disabled": False}


class Tagged(yaml.SafeLoader):
    """Reads CloudFormation's short forms: `!Ref X` is ("Ref", "X")."""


def tagged(loader, tag, node):
    if isinstance(node, yaml.ScalarNode):
        return (tag, loader.construct_scalar(node))
    return (tag, loader.construct_sequence(node, deep=True))


Tagged.add_multi_constructor("!", tagged)


def plain(value):
    """What python-hcl2 gives, without its quotes, marks and single blocks' lists."""
    if isinstance(value, dict):
        return {plain(key): plain(inner) for key, inner in value.items() if not str(key).startswith("__")}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value


def blocks(parsed, kind, *labels):
    found = parsed.get(kind, [])
    for label in labels:
        found = [block[label] for block in found if label in block]
    return found


def one(value):
    return value[0] if isinstance(value, list) else value


def snake(name):
    name = RENAMED.get(name, name)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def value_of(template):
    """A CloudFormation value as the Terraform has it."""
    match template:
        case ("Ref", "PlaylistRequestPolicy"):
            return "${aws_cloudfront_origin_request_policy.playlists.id}"
        case ("Ref", name):
            return "${var." + snake(name) + "}"
        case ("Sub", text):
            return re.sub(r"\$\{(\w+)\}", lambda found: "${var." + snake(found[1]) + "}", text).replace("${AWS::StackName}", "${var.name}")
        case ("If", ["ForwardHost", *_]):
            return "${local.forwarded}"
        case ("If", ["CachePlaylists", *_]):
            return "${var.cache_playlists ? aws_cloudfront_cache_policy.playlists[0].id : local.caching_disabled}"
        case "4135ea2d-6df8-44a3-9df3-4b5a84be39ad":
            return "${local.caching_disabled}"
        case "658327ea-f89d-4fab-a63d-7e88639e58f6":
            return "${local.caching_optimized}"
    return template


def equal(faults, about, template, terraform):
    wanted = value_of(template)
    if wanted != terraform:
        faults.append(f"{about}: {wanted!r} in CloudFormation, {terraform!r} here")


def behaviour(faults, about, template, terraform):
    for theirs, ours in [("TargetOriginId", "target_origin_id"), ("ViewerProtocolPolicy", "viewer_protocol_policy"),
                         ("AllowedMethods", "allowed_methods"), ("CachedMethods", "cached_methods"), ("Compress", "compress"),
                         ("CachePolicyId", "cache_policy_id"), ("OriginRequestPolicyId", "origin_request_policy_id")]:
        equal(faults, f"{about} {theirs}", template[theirs], terraform.get(ours))


    checked = [entry["function_association"] for entry in terraform.get("dynamic", []) if "function_association" in entry]
    match template.get("FunctionAssociations"):
        case ("If", ["CheckViewers", [{"EventType": event}], _]):
            asked = [(block["for_each"], one(block["content"])["event_type"]) for block in checked]
            if asked != [("${local.viewer_functions}", event)]:
                faults.append(f"{about}: viewers are checked in CloudFormation, and here {checked}")
        case other:
            if other or checked:
                faults.append(f"{about}: viewers are checked by {other} in CloudFormation, by {checked} here")


def compare(template, parsed):
    faults = []
    variables = {name: block for entry in parsed["variable"] for name, block in entry.items()}
    for name, parameter in template["Parameters"].items():
        variable = variables.get(snake(name))
        if variable is None:
            faults.append(f"no variable for {name}")
            continue
        default = parameter.get("Default")
        default = SAME.get(default, default) if name in RENAMED else default
        if variable.get("default") != default:
            faults.append(f"{name}: {default!r} in CloudFormation, {variable.get('default')!r} here")
        if bool(parameter.get("NoEcho")) != bool(variable.get("sensitive")):
            faults.append(f"{name}: is it a secret?")
        pattern = parameter.get("AllowedPattern")
        if pattern and pattern.replace("\\", "") not in str(variable.get("validation")).replace("\\", ""):
            faults.append(f"{name}: not held to {pattern}")
    local = one(parsed["locals"])
    resources = template["Resources"]
    distribution = resources["Distribution"]["Properties"]["DistributionConfig"]
    (ours,) = blocks(parsed, "resource", "aws_cloudfront_distribution", "live")
    for theirs, name in [("Comment", "comment"), ("Enabled", "enabled"), ("HttpVersion", "http_version"), ("IPV6Enabled", "is_ipv6_enabled"),
                         ("PriceClass", "price_class")]:
        equal(faults, theirs, distribution[theirs], ours[name])
    (origin,) = distribution["Origins"]
    mine = one(ours["origin"])
    for theirs, name in [("Id", "origin_id"), ("DomainName", "domain_name"), ("OriginPath", "origin_path"),
                         ("ConnectionAttempts", "connection_attempts"), ("ConnectionTimeout", "connection_timeout")]:
        equal(faults, f"origin {theirs}", origin[theirs], mine[name])
    (header,) = origin["OriginCustomHeaders"]
    equal(faults, "header", header["HeaderName"], one(mine["custom_header"])["name"])
    equal(faults, "header's value", header["HeaderValue"], one(mine["custom_header"])["value"])
    custom = one(mine["custom_origin_config"])
    for theirs, name in [("OriginProtocolPolicy", "origin_protocol_policy"), ("HTTPPort", "http_port"), ("HTTPSPort", "https_port"),
                         ("OriginSSLProtocols", "origin_ssl_protocols"), ("OriginReadTimeout", "origin_read_timeout"),
                         ("OriginKeepaliveTimeout", "origin_keepalive_timeout")]:
        equal(faults, f"origin {theirs}", origin["CustomOriginConfig"][theirs], custom[name])
    behaviour(faults, "default", distribution["DefaultCacheBehavior"], one(ours["default_cache_behavior"]))
    playlists, segments, *others = distribution["CacheBehaviors"]
    equal(faults, "playlists' pattern", playlists["PathPattern"], one(ours["ordered_cache_behavior"])["path_pattern"])
    behaviour(faults, "playlists", playlists, one(ours["ordered_cache_behavior"]))
    made = {name: one(block["content"]) for entry in ours["dynamic"] for name, block in entry.items() if name == "ordered_cache_behavior"}
    patterns = [segments["PathPattern"]]
    behaviour(faults, "segments", segments, made["ordered_cache_behavior"])
    for tag, (condition, then, _) in others:
        patterns.append(then["PathPattern"])
        behaviour(faults, then["PathPattern"], then, made["ordered_cache_behavior"])
        if (tag, condition) != ("If", "HasFragmentedMp4"):
            faults.append(f"{then['PathPattern']}: under another condition")
    wanted = "${var.fragmented_mp4 ? " + str(patterns).replace("'", '"') + " : " + str(patterns[:1]).replace("'", '"') + "}"
    if re.sub(r"\s", "", str(local["segment_patterns"])) != re.sub(r"\s", "", wanted):
        faults.append(f"segments' patterns: {wanted} in CloudFormation, {local['segment_patterns']} here")
    errors = {kind: [] for kind in ("NotFoundCachingSeconds", "ServerErrorCachingSeconds")}
    for error in distribution["CustomErrorResponses"]:
        errors[error["ErrorCachingMinTTL"][1]].append(error["ErrorCode"])
    if [local["client_errors"], local["server_errors"]] != list(errors.values()):
        faults.append(f"errors: {errors} in CloudFormation, {local['client_errors']} and {local['server_errors']} here")
    kept = {block["for_each"]: one(block["content"])["error_caching_min_ttl"] for entry in ours["dynamic"]
            for name, block in entry.items() if name == "custom_error_response"}
    wanted = {f"${{local.{codes}}}": f"${{var.{snake(kind)}}}" for codes, kind in zip(["client_errors", "server_errors"], errors)}
    if kept != wanted:
        faults.append(f"errors are kept for {wanted} in CloudFormation, for {kept} here")
    for policy, kind, name in [("PlaylistRequestPolicy", "OriginRequestPolicyConfig", "aws_cloudfront_origin_request_policy"),
                               ("PlaylistCachePolicy", "CachePolicyConfig", "aws_cloudfront_cache_policy")]:
        theirs = resources[policy]["Properties"][kind]
        (ours,) = blocks(parsed, "resource", name, "playlists")
        if kind == "CachePolicyConfig":
            for key, own in [("MinTTL", "min_ttl"), ("DefaultTTL", "default_ttl"), ("MaxTTL", "max_ttl")]:
                equal(faults, f"{policy} {key}", theirs[key], ours[own])
            theirs = theirs["ParametersInCacheKeyAndForwardedToOrigin"]
            ours = one(ours["parameters_in_cache_key_and_forwarded_to_origin"])
        if theirs["QueryStringsConfig"]["QueryStrings"] != local["playlist_queries"]:
            faults.append(f"{policy}: other query strings than {local['playlist_queries']}")
        query = one(ours["query_strings_config"])
        equal(faults, f"{policy} behaviour", theirs["QueryStringsConfig"]["QueryStringBehavior"], query["query_string_behavior"])
        equal(faults, f"{policy} items", "${local.playlist_queries}", one(query["query_strings"])["items"])
    return faults


def main():
    parsed = {}
    for file in sorted(FOLDER.glob("*.tf")):
        with open(file) as opened:
            for kind, entries in plain(hcl2.load(opened)).items():
                parsed.setdefault(kind, []).extend(entries)
    template = yaml.load(TEMPLATE.read_text(), Tagged)
    faults = compare(template, parsed)
    (function,) = blocks(parsed, "resource", "aws_cloudfront_function", "viewers")
    theirs = template["Resources"]["ViewerFunction"]["Properties"]["FunctionConfig"]
    if function["runtime"] != theirs["Runtime"] or function["comment"] != theirs["Comment"]:
        faults.append(f"the viewers' function is {function}")
    if "NAMESPACE = 'live-origin'" not in (ROOT / "config/cloudfront-viewer.js").read_text():
        faults.append("config/cloudfront-viewer.js has no namespace that could be put in")
    (parameter,) = blocks(parsed, "resource", "aws_ssm_parameter", "encoder_key")
    if f"put-parameter --name {parameter['name']} --type {parameter['type']}" not in (ROOT / "docs/medialive.md").read_text():
        faults.append(f"docs/medialive.md has another parameter than {parameter['name']}")
    # The check itself: another TTL has to be noticed.
    template["Resources"]["Distribution"]["Properties"]["DistributionConfig"]["CustomErrorResponses"][0]["ErrorCode"] = 418
    if len(compare(template, parsed)) != len(faults) + 1:
        faults.append("a changed error code goes unnoticed")
    (ours,) = blocks(parsed, "resource", "aws_cloudfront_distribution", "live")
    errors = [block for entry in ours["dynamic"] for name, block in entry.items() if name == "custom_error_response"]
    for block in errors:
        one(block["content"])["error_caching_min_ttl"] = "${var.server_error_caching_seconds}"
    if not any(fault.startswith("errors are kept") for fault in compare(template, parsed)):
        faults.append("errors that are kept for another time go unnoticed")
    if faults:
        sys.exit("\n".join(faults))
    print(f"{len(template['Parameters'])} parameters, the origin, the behaviours and the policies are those of {TEMPLATE.name}")


if __name__ == "__main__":
    main()
