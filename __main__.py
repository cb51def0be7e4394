"""`python -m pocketrank` is the command `pocketrank`."""

from pocketrank.cli.main import entry

if __name__ == "__main__":
    entry()
