"""The routing of a site with a page, and a room whose members are WebSockets; settings: room_settings."""
from channels import Group, route
from django.conf import settings
from django.conf.urls import url
from django.http import HttpResponse

TEXT = "x" * settings.PAGE_SIZE


def page(request):
    return HttpResponse(TEXT)


def broadcast(request):
    Group("room").send({"text": TEXT})
    return HttpResponse(TEXT)


def connect(message):
    message.reply_channel.send({"accept": True})
    Group("room").add(message.reply_channel)


urlpatterns = [url(r"^$", page), url(r"^broadcast$", broadcast)]
routing = [route("websocket.connect", connect)]
