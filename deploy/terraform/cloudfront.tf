# The distribution of docs/cloudfront.md; config/cloudfront.yaml is the same for CloudFormation.

locals {
  # AWS's managed policies.
  caching_disabled  = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
  caching_optimized = "658327ea-f89d-4fab-a63d-7e88639e58f6"
  all_viewer        = "216adef6-5c7f-47e4-b989-5492eafa07d3"
  all_but_host      = "b689b0a8-53d0-40ab-baf2-68738e2966ac"

  forwarded = var.forward_viewer_host ? local.all_viewer : local.all_but_host

  # What players say of the version or the window of a playlist that they want.
  playlist_queries = ["_HLS_msn", "_HLS_part", "_HLS_skip", "end", "last", "start"]

  # Written once: kept by their max-age. Tried in this order.
  segment_patterns = var.fragmented_mp4 ? ["*.ts", "*.mp4", "*.m4s"] : ["*.ts"]

  # On every behaviour: one without it would be open.
  viewer_functions = var.viewer_tokens ? [aws_cloudfront_function.viewers[0].arn] : []

  # Without these CloudFront keeps errors for 10 s whatever the origin says, which can outlast a live buffer.
  client_errors = [400, 403, 404, 405, 414, 416]
  server_errors = [500, 501, 502, 503, 504]
}

resource "aws_cloudfront_origin_request_policy" "playlists" {
  name    = "${var.name}-playlists"
  comment = "Low-latency HLS directives and windows of the past"
  cookies_config {
    cookie_behavior = "none"
  }
  headers_config {
    header_behavior = "none"
  }
  query_strings_config {
    query_string_behavior = "whitelist"
    query_strings {
      items = local.playlist_queries
    }
  }
}

resource "aws_cloudfront_cache_policy" "playlists" {
  count       = var.cache_playlists ? 1 : 0
  name        = "${var.name}-playlists"
  comment     = "Live playlists, honours the max-age of the origin"
  min_ttl     = 0
  default_ttl = 1
  max_ttl     = var.max_playlist_age
  parameters_in_cache_key_and_forwarded_to_origin {
    enable_accept_encoding_brotli = true
    enable_accept_encoding_gzip   = true
    cookies_config {
      cookie_behavior = "none"
    }
    headers_config {
      header_behavior = "none"
    }
    query_strings_config {
      query_string_behavior = "whitelist"
      query_strings {
        items = local.playlist_queries
      }
    }
  }
}

# What the function below looks up: viewer keys (k:KID) and revoked tokens (r:ID).
resource "aws_cloudfront_key_value_store" "viewers" {
  count   = var.viewer_tokens ? 1 : 0
  name    = "${var.name}-viewers"
  comment = "Viewer keys and revocations of Springhead"
}

resource "aws_cloudfront_function" "viewers" {
  count                        = var.viewer_tokens ? 1 : 0
  name                         = "${var.name}-viewers"
  comment                      = "Checks the tokens of viewers and takes them off"
  runtime                      = "cloudfront-js-2.0"
  publish                      = true
  key_value_store_associations = [aws_cloudfront_key_value_store.viewers[0].arn]
  code                         = replace(file("${path.module}/../../config/cloudfront-viewer.js"), "NAMESPACE = 'live-origin'", "NAMESPACE = '${var.namespace}'")
}

resource "aws_cloudfront_distribution" "live" {
  comment         = "Live HLS from Springhead, namespace ${var.namespace}"
  enabled         = true
  http_version    = "http2and3"
  is_ipv6_enabled = true
  price_class     = var.price_class

  origin {
    origin_id   = "springhead"
    domain_name = var.origin_domain
    # Required: viewers' paths do not name the namespace.
    origin_path         = "/cache/${var.namespace}"
    connection_attempts = 2
    connection_timeout  = var.origin_connection_timeout
    # Bare, and it replaces an Authorization header that a viewer sends.
    custom_header {
      name  = "Authorization"
      value = var.player_api_key
    }
    custom_origin_config {
      origin_protocol_policy   = var.origin_protocol
      http_port                = var.origin_http_port
      https_port               = var.origin_https_port
      origin_ssl_protocols     = ["TLSv1.2"]
      origin_read_timeout      = var.origin_read_timeout
      origin_keepalive_timeout = var.origin_keepalive_timeout
    }
  }

  # Media playlists: rewritten with every segment.
  ordered_cache_behavior {
    path_pattern             = var.playlist_path_pattern
    target_origin_id         = "springhead"
    viewer_protocol_policy   = "redirect-to-https"
    allowed_methods          = ["GET", "HEAD", "OPTIONS"]
    cached_methods           = ["GET", "HEAD"]
    cache_policy_id          = var.cache_playlists ? aws_cloudfront_cache_policy.playlists[0].id : local.caching_disabled
    origin_request_policy_id = aws_cloudfront_origin_request_policy.playlists.id
    compress                 = true

    dynamic "function_association" {
      for_each = local.viewer_functions
      content {
        event_type   = "viewer-request"
        function_arn = function_association.value
      }
    }
  }

  dynamic "ordered_cache_behavior" {
    for_each = local.segment_patterns
    content {
      path_pattern             = ordered_cache_behavior.value
      target_origin_id         = "springhead"
      viewer_protocol_policy   = "redirect-to-https"
      allowed_methods          = ["GET", "HEAD", "OPTIONS"]
      cached_methods           = ["GET", "HEAD"]
      cache_policy_id          = local.caching_optimized
      origin_request_policy_id = local.forwarded
      compress                 = false

      dynamic "function_association" {
        for_each = local.viewer_functions
        content {
          event_type   = "viewer-request"
          function_arn = function_association.value
        }
      }
    }
  }

  # Everything else, the multivariant playlist among it.
  default_cache_behavior {
    target_origin_id         = "springhead"
    viewer_protocol_policy   = "redirect-to-https"
    allowed_methods          = ["GET", "HEAD", "OPTIONS"]
    cached_methods           = ["GET", "HEAD"]
    cache_policy_id          = local.caching_disabled
    origin_request_policy_id = local.forwarded
    compress                 = false

    dynamic "function_association" {
      for_each = local.viewer_functions
      content {
        event_type   = "viewer-request"
        function_arn = function_association.value
      }
    }
  }

  dynamic "custom_error_response" {
    for_each = local.client_errors
    content {
      error_code            = custom_error_response.value
      error_caching_min_ttl = var.not_found_caching_seconds
    }
  }

  dynamic "custom_error_response" {
    for_each = local.server_errors
    content {
      error_code            = custom_error_response.value
      error_caching_min_ttl = var.server_error_caching_seconds
    }
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }

  # The distribution's own name; with one of yours an acm_certificate_arn, ssl_support_method and minimum_protocol_version.
  viewer_certificate {
    cloudfront_default_certificate = true
  }
}

output "viewer_store" {
  description = "Where viewer keys and revocations go"
  value       = one(aws_cloudfront_key_value_store.viewers[*].arn)
}

output "playlist_url" {
  description = "What a player opens, with playlist.m3u8 as the name in MediaLive's destination URL"
  value       = "https://${aws_cloudfront_distribution.live.domain_name}/playlist.m3u8"
}
