"""Where sealed payloads lie: a folder, or a bucket by way of one."""
