"""A Django project with a trivial page and WebSocket groups. The environment says which channel layer it uses."""
import json
import os

SECRET_KEY = "benchmarks"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["channels"]
MIDDLEWARE = []
ROOT_URLCONF = "urls"
CHANNEL_LAYERS = {"default": dict(json.loads(os.environ["BENCHMARKS_CHANNEL_LAYER"]), ROUTING="routing.routing")}
