"""No consumers: Channels passes requests to the views."""
channel_routing = []
