"""Packages of the distribution: those under lib/, and the config files as longtail.configs."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages("lib"), "longtail.configs"],
    package_dir={"": "lib", "longtail.configs": "configs"},
    package_data={"longtail": ["py.typed", "reporting/assets/*"], "longtail.configs": ["**/*.yaml"]},
)
