"""The program `bulkio`: parse, call the API, print. Nothing imports it, and it does no work of its own.

    app.py          the group of commands; loads a command's module when it is called
    main.py         main(): turns whatever a command raises into a message and an exit code
    exits.py        the exit codes
    interrupts.py   signals, and what they leave behind
    groups.py       help in sections
    options.py      the options that commands share
    output.py       what goes to stdout and stderr
    progress.py     progress on stderr: bars, or lines of JSON
    load.py export.py server.py completion.py     the commands

These modules import only click and the standard library at their top, so that `bulkio --help` waits for nothing else.
"""

from bulkio.cli.main import main

__all__ = ["main"]
