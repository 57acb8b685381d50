"""Settings of the old site, on Django 2.2 and Channels 1."""
import os

SECRET_KEY = "not a secret"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["channels"]
MIDDLEWARE = []
ROOT_URLCONF = "mysite.urls"

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "asgi_redis.RedisChannelLayer",
        "ROUTING": "mysite.routing.channel_routing",
        "CONFIG": {"hosts": [os.environ["SITE_REDIS"]]},
    },
}
