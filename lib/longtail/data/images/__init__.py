"""Image files: decoding, reading, caching their bytes in memory, and skipping those that cannot be read."""
