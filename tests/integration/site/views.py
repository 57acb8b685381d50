from __future__ import unicode_literals

import hashlib
import os

from channels import Group
from django.http import HttpResponse, JsonResponse

from asgi_redis import __version__


def hello(request):
    return HttpResponse("Hello.", content_type="text/plain")


def echo(request):
    """What came here, and which worker process says so, and what it runs."""
    return JsonResponse({
        "method": request.method,
        "query": request.GET.dict(),
        "length": len(request.body),
        "sha256": hashlib.sha256(request.body).hexdigest(),
        "worker": os.getpid(),
        "release": __version__,
    })


def lines(request, count):
    """``count`` lines, no two the same: a part that is missing or in the wrong place shows."""
    return HttpResponse("".join("line %d\n" % number for number in range(int(count))), content_type="text/plain")


def broadcast(request, group):
    """Send the body of the request to all sockets of ``group``."""
    # At once: otherwise the answer would go out first.
    Group(group).send({"text": request.body.decode("utf-8")}, immediately=True)
    return HttpResponse(status=204)
