#!/usr/bin/env python3
"""Replace the leading folder of the image paths in an annotation file.

    python tools/replace_path.py --json_file Places_LT_val.json \
        --find_root /media/ssd2/lijun/data/places365_standard --replaces_to /data/places365_standard

Reports how many paths matched. The file is not changed if no path matches or an image does not exist.
"""

import sys

from longtail.cli.program import Parser, run_program


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and replace."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--json_file", required=True, help="annotation file")
    parser.add_argument("-f", "--find_root", required=True, help="leading folder of the paths")
    parser.add_argument("-r", "--replaces_to", required=True, help="folder to replace it with")
    parser.add_argument("--no-check", action="store_true", help="do not check that the images exist")
    options = parser.parse(arguments)

    def program() -> None:
        from longtail.data.convert.path_root import replace_path
        from longtail.runs.console import log_to_terminal

        log_to_terminal()
        check = not options.no_check
        replace_path(options.json_file, options.find_root, replaces_to=options.replaces_to, check=check)

    return run_program(program)


if __name__ == "__main__":
    sys.exit(main())
