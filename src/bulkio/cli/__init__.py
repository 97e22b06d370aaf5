"""The program `bulkio`: parse, call the API, print. Nothing imports it, and it does no work of its own.

    app.py          the group of commands; loads a command's module when it is called
    main.py         main(): turns whatever a command raises into a message and an exit code
    exits.py        the exit codes
    interrupts.py   signals, and what they left
    options.py      the options that commands share
    output.py       what goes to stdout and stderr
    progress.py     the progress bar
    load.py export.py server.py completion.py     the commands

At the top of these modules stand click and the standard library only: `bulkio --help` waits for no other.
"""

from bulkio.cli.main import main

__all__ = ["main"]
