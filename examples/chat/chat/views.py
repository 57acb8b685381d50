"""The pages. All that moves on them is done by the consumers."""
from django.shortcuts import redirect, render
from django.utils.text import slugify

from . import rooms
from .status import BEAT, EVERY, SPAN


def start(request):
    """Choose a name and a room. ``?room=`` as the form sends it leads to the room, ``?ask=`` fills it in."""
    context = {"ask": request.GET.get("ask", ""), "name_length": rooms.NAME_LENGTH}
    if "room" in request.GET:
        # Group names hold ASCII letters, digits, hyphens, underscores and periods, so the room's does.
        slug = slugify(request.GET["room"].replace("_", "-"))[:40].strip("-")
        if slug:
            return redirect("room", slug)
        context.update(ask=request.GET["room"], error="A room needs a letter from a to z, or a digit, in its name.")
    return render(request, "chat/start.html", dict(context, rooms=rooms.open_rooms()))


def room(request, slug):
    return render(request, "chat/room.html", {"slug": slug, "beat": rooms.BEAT, "text_length": rooms.TEXT_LENGTH})


def status(request):
    tables = [("processes", "Processes"), ("channels", "Channels"), ("shards", "Shards"), ("groups", "Groups")]
    return render(request, "chat/status.html", {"beat": BEAT, "every": EVERY, "span": SPAN, "tables": tables})
