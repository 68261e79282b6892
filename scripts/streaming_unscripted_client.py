#!/usr/bin/env python3
"""Drops in for the vendor's script of the same name: same options, same beginnings of the log lines on stderr.

    python3 streaming_unscripted_client.py --token TOKEN --audio_path speech.wav --return_json

It needs the package elsa_unscripted, and can be copied anywhere. `elsa_unscripted/cli/README.md` lists what differs
from the vendor's script: above all, a failure has an exit status other than 0.
"""

import sys

try:
    from elsa_unscripted.cli.drop_in import main
except KeyboardInterrupt:
    sys.exit(130)
except ModuleNotFoundError as error:
    if error.name != "elsa_unscripted":
        raise
    print(
        f"this script needs the package elsa-unscripted; install it with: {sys.executable} -m pip install "
        "elsa-unscripted\n(in a checkout of the project, give `.` in place of the name)",
        file=sys.stderr,
    )
    sys.exit(2)

if __name__ == "__main__":
    sys.exit(main())
