"""What Daphne loads: ``daphne chat.asgi:layer``."""
import os

from channels.asgi import get_channel_layer

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chat.settings")

layer = get_channel_layer()
