"""The error that ends a run."""


class CannotMeasure(Exception):
    """The run can't go on; the text says what is missing and what to do."""
