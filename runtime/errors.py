"""Every error that pocketrank raises on purpose, and the exit code that each one becomes.

    PocketrankError
    ├── InputError            2  bad input or usage: a file, key or value that the user can fix
    ├── VerificationError     1  a bundle that is not what its manifest says
    └── UnavailableError      3  a device or an optional component that is not there

A message names the file, key or value at fault and ends with the next action.
"""


class PocketrankError(Exception):
    """Root of the tree; catch this to catch everything that pocketrank raises on purpose."""

    exit_code = 2


class InputError(PocketrankError):
    """The user's input cannot be used as it is."""

    exit_code = 2


class VerificationError(PocketrankError):
    """A bundle differs from what its manifest promises."""

    exit_code = 1


class UnavailableError(PocketrankError):
    """A device, or an optional component, is not available on this machine."""

    exit_code = 3
