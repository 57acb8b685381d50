"""The settings of a small site, to which tests add those of the documentation, which use these imports."""
import os  # noqa: F401
import re  # noqa: F401

import redis  # noqa: F401

from asgi_redis import RedisChannelLayer  # noqa: F401

SECRET_KEY = "not a secret"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["channels"]
ROOT_URLCONF = "mysite.urls"


def current_token():
    """What docs/options.rst takes for the password that its credential provider returns."""
    return "password"

