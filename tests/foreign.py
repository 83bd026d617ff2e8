"""Arrays of other libraries, as far as they matter here."""


class OnlyDlpack:
    """What can be handed on by DLPack alone."""

    def __init__(self, values):
        self.values = values

    def __dlpack__(self, **options):
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()
