variable "name" {
  description = "What everything is called by."
  type        = string
  default     = "live-origin"
}

variable "origin_domain" {
  description = "Name under which Springhead, or the TLS terminator in front of it, is reached. No scheme, port or path."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$", var.origin_domain))
    error_message = "A DNS name without scheme, port and path, like origin.example.com."
  }
}

variable "origin_protocol" {
  description = "https-only takes a TLS listener or a terminator in front. http-only sends the player key in clear text."
  type        = string
  default     = "https-only"
  validation {
    condition     = contains(["https-only", "http-only"], var.origin_protocol)
    error_message = "https-only or http-only."
  }
}

variable "origin_http_port" {
  description = "Port for http-only; 80, or 1024 and up."
  type        = number
  default     = 8080
}

variable "origin_https_port" {
  description = "Port for https-only; 443, or 1024 and up."
  type        = number
  default     = 443
}

variable "namespace" {
  description = "Namespace the encoder writes to."
  type        = string
  default     = "live-origin"
  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", var.namespace))
    error_message = "1 to 64 of letters, digits, dot, underscore and hyphen; the first one a letter or digit."
  }
}

variable "player_api_key" {
  description = "Readonly key, bare: the api_key of the key file alone. It stands in the state: keep that as secret as the key."
  type        = string
  sensitive   = true
  validation {
    condition     = can(regex("^[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+$", var.player_api_key))
    error_message = "The api_key of the key file alone, without Bearer and without quotes."
  }
}

variable "encoder_api_key" {
  description = "Readwrite key for MediaLive, bare. It stands in the state: keep that as secret as the key."
  type        = string
  sensitive   = true
}

variable "forward_viewer_host" {
  description = "true is AllViewer. false is AllViewerExceptHostHeader, for a proxy that chooses by Host or server name."
  type        = bool
  default     = true
}

variable "cache_playlists" {
  description = "false passes every poll on to Springhead. true honours its max-age, 1 s at a target duration of 2 s."
  type        = bool
  default     = false
}

variable "playlist_path_pattern" {
  description = "Media playlists. Has to fit the base name in MediaLive's destination URL; begins with a star, because CloudFront chooses by the path as viewers ask, a token in it."
  type        = string
  default     = "*playlist_*.m3u8"
}

variable "max_playlist_age" {
  description = "With cache_playlists, a cap on max-age, in seconds."
  type        = number
  default     = 3
}

variable "fragmented_mp4" {
  description = "Whether there are behaviours for *.mp4 and *.m4s."
  type        = bool
  default     = false
}

variable "viewer_tokens" {
  description = "true has each request checked for a viewer's token. player_api_key is then one made with --edge, the namespace has viewers.base_path \"/\", and the viewer key goes into the key-value store (docs/entitlements.md)."
  type        = bool
  default     = false
}

variable "not_found_caching_seconds" {
  description = "Error caching minimum TTL of 4xx. CloudFront's own default of 10 s freezes viewers."
  type        = number
  default     = 0
}

variable "server_error_caching_seconds" {
  description = "Error caching minimum TTL of 5xx."
  type        = number
  default     = 1
}

variable "origin_connection_timeout" {
  description = "Seconds to wait for a connection. There are two attempts."
  type        = number
  default     = 2
}

variable "origin_read_timeout" {
  description = "Seconds to wait for an answer, and between two packets of it. With low-latency HLS three target durations and 2 s."
  type        = number
  default     = 5
}

variable "origin_keepalive_timeout" {
  description = "Seconds CloudFront keeps an idle connection. Has to stay under Springhead's timeouts.keep_alive (150 s)."
  type        = number
  default     = 60
}

variable "price_class" {
  description = "Which edge locations serve viewers."
  type        = string
  default     = "PriceClass_All"
}
