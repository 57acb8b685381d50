"""Settings of the new site, on Django 5."""
SECRET_KEY = "not a secret"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["newsite"]
MIDDLEWARE = []
ROOT_URLCONF = "newsite.urls"
