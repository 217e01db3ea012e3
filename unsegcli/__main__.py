"""`python -m unsegcli`."""

from unsegcli.cli import main

if __name__ == "__main__":
    main()
