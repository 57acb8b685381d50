from channels.asgi import get_channel_layer

channel_layer = get_channel_layer()
