"""What stands below the options in the help of each command. For `parser`."""

TOKEN_EPILOG = """\
The token is taken from --token-file or --token, else from $ELSA_API_TOKEN.
Everybody on this machine can read a token on a command line with ps: prefer a
file or the variable.

"""

SCORE_EPILOG = """\
examples:
  elsa-unscripted score speech.wav --token-file token.txt
  elsa-unscripted score speech.wav --plan premium --format json | jq .
  elsa-unscripted score - --token-file token.txt -o result.txt < speech.wav
  ffmpeg -i film.mkv -t 60 -f wav - | elsa-unscripted score -
  arecord -d 30 -f S16_LE -r 16000 -t raw | elsa-unscripted score - --pcm 16000

"""

LIVE_EPILOG = """\
Enter ends the speech. So does the server, when it hears that you have finished.
Ctrl-C ends it, too; a second Ctrl-C doesn't wait for the assessment.

examples:
  elsa-unscripted live --token-file token.txt
  elsa-unscripted live --list-devices
  elsa-unscripted live --device 2 --save speech.wav --format json -o result.json

"""

CHECK_EPILOG = """\
Recordings, folders and lists are taken as batch takes them. The worst stand
first: errors are certain to be worthless, warnings likely to give a partial
assessment. The table and --json go to standard output.

examples:
  elsa-unscripted check answers/ --csv check.csv
  elsa-unscripted check speech.wav --json | jq .
  elsa-unscripted check answers/ --price 0.02

exit status:
  0    no recording has an error; some may have warnings
  2    wrong usage, no recordings, or a file that can't be written
  5    some recordings have errors
  130  interrupted
"""

SHOW_EPILOG = """\
examples:
  elsa-unscripted score speech.wav --format saved -o result.json
  elsa-unscripted show result.json
  elsa-unscripted score speech.wav --format saved | elsa-unscripted show - -v
"""

REPORT_EPILOG = """\
The page is one file that needs nothing else: no network, no other file.

examples:
  elsa-unscripted report result.json --audio speech.wav --open
  elsa-unscripted report scores.jsonl -o class.html --title "Class 4b"
  elsa-unscripted report scores.jsonl --list pupils.csv --audio answers/
  elsa-unscripted report autumn.jsonl spring.jsonl -o year.html
"""

BATCH_EPILOG = """\
A folder is searched for audio files, folders in it too. A list has one path on
each line; or it is a CSV whose first line names a column "path", and table and
page have its other columns as well: who is named "name" and has no recording
has handed in nothing.

The journal, -o, gets a line for each recording. When the same command runs
again, a recording with a result there isn't sent again, nor one that failed.
With --retry-failed, one that failed is sent again if it may succeed without a
change; with --retry-failed=all, every one, and each is paid for again.

After Ctrl-C, SIGTERM, or when the terminal closes, the recordings in flight
finish. A second Ctrl-C stops them at once.

examples:
  elsa-unscripted batch answers/ --token-file token.txt --csv scores.csv
  find . -name '*.mp3' | elsa-unscripted batch --from-file - --jobs 50
  elsa-unscripted batch --from-file pupils.csv --report class.html

exit status:
  0    every recording has its result
  2    wrong usage, a bad option, no recordings, or a file that can't be
       written: the journal is in use, for example
  3    some recordings have no result; with --require-score, or no score
  4    the token was refused, or no connection could be made
  130  interrupted by Ctrl-C, SIGTERM or SIGHUP
"""

SANDBOX_EPILOG = """\
Any token is accepted. A client with the token sandbox:NAME[=VALUE] gets that
scenario, whatever --scenario says; with sandbox:greeting-off=NAME[=VALUE], it
gets it without the greeting. With a tape there are no scenarios.
"""

DOCTOR_EPILOG = """\
Each line says ok, warning, error or skipped; what mends it stands behind an
arrow. Optional parts that are absent are skipped. With --online, the server
is asked whether it takes the token: the connection is closed before anything
that a stream begins with. ELSA doesn't say whether that is free.

examples:
  elsa-unscripted doctor
  elsa-unscripted doctor --online --token-file token.txt
  elsa-unscripted doctor --json | jq '.checks[] | select(.status == "error")'

exit status:
  0    no errors
  1    an error
  2    wrong usage
  130  interrupted
"""
