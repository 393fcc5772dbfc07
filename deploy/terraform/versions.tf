# Written by the providers' documentation, parsed and compared with config/cloudfront.yaml by release/check; never applied.
terraform {
  required_version = ">= 1.6"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80, < 7.0"
    }
  }
}
