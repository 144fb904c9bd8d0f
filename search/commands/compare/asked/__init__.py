"""A comparison as asked for: flags, configurations, what differs between them, the design."""
