"""The one exception for bad input from a person.

Its message is one sentence that names the field and the remedy. The command line
prints it and exits with code 2; a page shows it in an error box; a run stores it
in ``status.json`` and ends as *failed*.
"""


class InputError(ValueError):
    """Bad input: a missing file, a wrong shape, a value out of range."""
