"""What benchmarks share: `goals` (figures, hardware, the exit code), synthetic `lengths`, `padded_rows`."""
