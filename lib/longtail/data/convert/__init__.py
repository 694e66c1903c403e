"""From what users download to annotation files: one small file per source."""
