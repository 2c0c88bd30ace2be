"""The metadata is in setup.cfg; this adds what editable installs leave out."""

from setuptools import Distribution, setup


class Package(Distribution):
    """A distribution whose data files are installed in editable mode too.

    setuptools installs them if ``has_data`` says so, which it does not define:
    without this, an editable install has no import hook (hook/).
    """

    def has_data(self) -> bool:
        """Whether ``[options.data_files]`` of setup.cfg lists anything."""
        return self.has_data_files()


setup(distclass=Package)
