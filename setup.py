"""The distribution `metric-rollups`: what it needs, holds and offers. Tool settings are in pyproject.toml, exact versions in requirements.lock."""

from setuptools import find_packages, setup

setup(
    name="metric-rollups",
    version="0.1.0",
    description="Replays archived metric postings into the 1m, 5m and 1h rollups that a live writer would have stored",
    python_requires=">=3.11,<3.13",
    packages=find_packages(include=["pipelines", "pipelines.*", "transforms", "transforms.*", "configs", "configs.*"]),
    package_data={"configs": ["*.yaml", "schemas/*.yaml"]},
    install_requires=[
        "adbc-driver-manager>=1.8",
        "adbc-driver-sqlite>=1.8",
        "apache-beam==2.77.*",
        "arro3-core>=0.8",
        "arro3-io>=0.8",
        "boto3>=1.42",
        "botocore>=1.42",
        "cramjam>=2.9",
        "isal>=1.7",
        "msgspec>=0.19",
        "numpy>=2.1",
        "pandas>=2.2",
        "prometheus-client>=0.22",
        "pyarrow>=18",
        "PyYAML>=6",
        "valkey>=6.1",
        "zstandard>=0.23",
    ],
    entry_points={"console_scripts": ["rollups=pipelines.cli:run"]},
)
