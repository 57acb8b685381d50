"""The least that this site needs: no database, no sessions. What it knows is in Redis."""
import os

#: URLs of Redis. The messages between Daphne and workers go through all of them, the rooms are in the first.
HOSTS = os.environ.get("CHAT_HOSTS", "redis://127.0.0.1:6379/0").split()

# For trying out: with DEBUG the workers serve the static files too. On the Internet: DEBUG off, a secret of your own,
# your host's name, the static files from a web server.
DEBUG = True
SECRET_KEY = "nothing here is signed with it"
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]

INSTALLED_APPS = ["channels", "django.contrib.staticfiles", "chat"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "chat.urls"
STATIC_URL = "/static/"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
TIME_ZONE = "UTC"

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "asgi_redis.RedisChannelLayer",
        "CONFIG": {
            "hosts": HOSTS,
            "channel_capacity": {"http.disconnect": 100000},  # nothing reads it
        },
        "ROUTING": "chat.routing.routes",
    },
}
