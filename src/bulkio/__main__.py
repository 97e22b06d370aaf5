"""`python -m bulkio` is `bulkio`."""

from bulkio.cli import main

if __name__ == "__main__":
    main()
