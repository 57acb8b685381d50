"""
Settings of a site for tests, on Django 1.11 and 2.2.

The environment says what it runs on: SITE_CHANNEL_LAYER is ``{"BACKEND": ..., "CONFIG": {...}}`` as JSON, and
SITE_SESSIONS an empty folder. What the consumer of ``numbers`` notes is in there, too.
"""
from __future__ import unicode_literals

import json
import os

SECRET_KEY = "not a secret"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["channels"]
MIDDLEWARE = []
ROOT_URLCONF = "urls"

CHANNEL_LAYERS = {"default": dict(json.loads(os.environ["SITE_CHANNEL_LAYER"]), ROUTING="routing.routing")}

# Channels keeps in a session which message of a socket comes next, so all workers must see the same sessions.
SESSION_ENGINE = "django.contrib.sessions.backends.file"
SESSION_FILE_PATH = os.environ["SITE_SESSIONS"]

NOTES = os.environ["SITE_SESSIONS"]
