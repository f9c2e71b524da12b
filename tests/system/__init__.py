"""The real server with the real programs: what arrives is compared octet by octet."""
