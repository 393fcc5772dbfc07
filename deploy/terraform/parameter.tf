# The encoder's key where MediaLive looks for a password: section 1 of docs/medialive.md. The channel itself is made there by hand.

resource "aws_ssm_parameter" "encoder_key" {
  name        = "/medialive/springhead_encoder_key"
  description = "Springhead's readwrite key for namespace ${var.namespace}"
  type        = "SecureString"
  value       = var.encoder_api_key
}
